//! Runs a plan: lanes, runners, buffers, supervision, the ledger.
