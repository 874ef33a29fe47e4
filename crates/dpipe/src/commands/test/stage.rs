//! The world of a test: the machine's files, a clock that stands still, and nothing that differs
//! from one machine or run to the next.

use std::sync::atomic::{AtomicU64, Ordering};

use dpipe_env::{Env, Files, RealEnv};

/// What `_host` is in tests.
const HOST: &str = "localhost";

pub(super) struct Stage {
    now_millis: i64,
    drawn: AtomicU64,
}

impl Stage {
    /// A world at this time, or at that of the machine.
    pub(super) fn at(now_millis: Option<i64>) -> Stage {
        let now_millis = now_millis.unwrap_or_else(|| RealEnv.now_millis());
        Stage { now_millis, drawn: AtomicU64::new(0) }
    }
}

impl Env for Stage {
    fn now_millis(&self) -> i64 {
        self.now_millis
    }

    /// SplitMix64: the same numbers in every run.
    fn random(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.drawn.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn files(&self) -> &dyn Files {
        RealEnv.files()
    }

    fn host_name(&self) -> String {
        HOST.to_owned()
    }
}
