//! What flows through dpipe: events, batches, values, field paths, receipts.
