//! Every built-in input, codec, step and output.
