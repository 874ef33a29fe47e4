//! Checks for plugins: one call a contract.
