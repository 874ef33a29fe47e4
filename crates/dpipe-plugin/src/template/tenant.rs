//! What templates read of tenants: `{tenant.index_prefix}`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::Shared;

/// A setting of a tenant that a template can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TenantSetting {
    /// What the names of its indexes and files begin with. A tenant that has none, or that the
    /// configuration does not know because a path named it, has its own name there: so tenants
    /// without the setting do not share anything.
    IndexPrefix,
    /// How long its events are to be kept.
    Retention,
}

impl TenantSetting {
    /// All of them.
    pub const ALL: [TenantSetting; 2] = [TenantSetting::IndexPrefix, TenantSetting::Retention];

    /// Its key in the `tenants:` section.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TenantSetting::IndexPrefix => "index_prefix",
            TenantSetting::Retention => "retention",
        }
    }

    /// The setting of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<TenantSetting> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// What it is for a tenant that does not have it; `None` is a missing value.
    pub(super) fn of_others(self, tenant: &str) -> Option<&str> {
        match self {
            TenantSetting::IndexPrefix => Some(tenant),
            TenantSetting::Retention => None,
        }
    }
}

/// The settings of tenants: by tenant, by setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantSettings(pub BTreeMap<String, BTreeMap<TenantSetting, String>>);

impl TenantSettings {
    const NAME: &'static str = "tenant settings";

    /// Makes the settings known to whatever is built with this [`Shared`]. The first call counts.
    pub fn lend(self, shared: &Shared) {
        let Ok(_) = shared.get_or_make(Self::NAME, || Ok::<_, Infallible>(self));
    }

    pub(super) fn lent(shared: &Shared) -> Arc<TenantSettings> {
        let none = || Ok::<_, Infallible>(TenantSettings::default());
        let Ok(settings) = shared.get_or_make(Self::NAME, none);
        settings
    }
}
