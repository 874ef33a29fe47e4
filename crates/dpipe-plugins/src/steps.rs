//! Every built-in step, one line each, sorted.

mod bucket;
mod child;
mod convert;
mod currency;
mod dedupe;
mod dns;
mod drop;
mod flatten;
mod geoip;
mod hash;
mod keep;
mod lookup;
mod nest;
mod normalize;
mod parse;
mod redact;
mod remove;
mod rename;
mod route;
mod sample;
mod set;
mod split;
mod throttle;
mod timestamp;
mod url;
mod useragent;

use dpipe_plugin::{Entry, StepSpec};

/// The steps that come with dpipe.
pub(crate) const STEPS: &[Entry<dyn StepSpec>] = &[
    Entry::step::<bucket::Config>(include_str!("steps/bucket.rs")),
    Entry::step::<child::Config>(include_str!("steps/child.rs")),
    Entry::step::<convert::Config>(include_str!("steps/convert.rs")),
    Entry::step::<currency::Config>(include_str!("steps/currency.rs")),
    Entry::step::<dedupe::Config>(include_str!("steps/dedupe.rs")),
    Entry::step::<dns::Config>(include_str!("steps/dns.rs")),
    Entry::step::<drop::Config>(include_str!("steps/drop.rs")),
    Entry::step::<flatten::Config>(include_str!("steps/flatten.rs")),
    Entry::step::<geoip::Config>(include_str!("steps/geoip.rs")),
    Entry::step::<hash::Config>(include_str!("steps/hash.rs")),
    Entry::step::<keep::Config>(include_str!("steps/keep.rs")),
    Entry::step::<lookup::Config>(include_str!("steps/lookup.rs")),
    Entry::step::<nest::Config>(include_str!("steps/nest.rs")),
    Entry::step::<normalize::Config>(include_str!("steps/normalize.rs")),
    Entry::step::<parse::Config>(include_str!("steps/parse.rs")),
    Entry::step::<redact::Config>(include_str!("steps/redact.rs")),
    Entry::step::<remove::Config>(include_str!("steps/remove.rs")),
    Entry::step::<rename::Config>(include_str!("steps/rename.rs")),
    Entry::step::<route::Config>(include_str!("steps/route.rs")),
    Entry::step::<sample::Config>(include_str!("steps/sample.rs")),
    Entry::step::<set::Config>(include_str!("steps/set.rs")),
    Entry::step::<split::Config>(include_str!("steps/split.rs")),
    Entry::step::<throttle::Config>(include_str!("steps/throttle.rs")),
    Entry::step::<timestamp::Config>(include_str!("steps/timestamp.rs")),
    Entry::step::<url::Config>(include_str!("steps/url.rs")),
    Entry::step::<useragent::Config>(include_str!("steps/useragent.rs")),
];

/// The template of `cargo xtask new-plugin`, so that it stays one that compiles.
#[cfg(test)]
#[allow(dead_code, reason = "it is in no list")]
#[path = "../../../xtask/src/new_plugin/step.rs"]
mod new_plugin;
