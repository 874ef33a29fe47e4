//! The names of facilities and levels, as syslog.conf(5) has them; those of the facilities 12 to 14
//! are of RFC 5424.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$doc:meta])* $list:ident, $name:ident, $count:literal, $default:ident:
     $($variant:ident $text:literal $what:literal,)*) => {
        /// By number.
        pub(super) const $list: [&str; $count] = [$($text),*];

        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
        )]
        pub(super) enum $name {
            $(#[doc = $what] #[serde(rename = $text)] $variant,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name::$default
            }
        }
    };
}

names! {
    /// What part of a system a message comes from.
    FACILITIES, Facility, 24, User:
    Kern "kern" "The kernel.",
    User "user" "Programs of users.",
    Mail "mail" "Mail.",
    Daemon "daemon" "Services.",
    Auth "auth" "Who may do what.",
    Syslog "syslog" "Syslog itself.",
    Lpr "lpr" "Printers.",
    News "news" "Network news.",
    Uucp "uucp" "UUCP.",
    Cron "cron" "What runs at its time.",
    Authpriv "authpriv" "Who may do what, in private.",
    Ftp "ftp" "FTP.",
    Ntp "ntp" "Clocks.",
    Audit "audit" "What was done.",
    Alert "alert" "What was noticed.",
    Clock "clock" "What runs at its time, elsewhere.",
    Local0 "local0" "For the site.",
    Local1 "local1" "For the site.",
    Local2 "local2" "For the site.",
    Local3 "local3" "For the site.",
    Local4 "local4" "For the site.",
    Local5 "local5" "For the site.",
    Local6 "local6" "For the site.",
    Local7 "local7" "For the site.",
}

names! {
    /// How bad it is.
    LEVELS, Level, 8, Notice:
    Emerg "emerg" "The system is unusable.",
    Alert "alert" "Something must be done at once.",
    Crit "crit" "Critical.",
    Err "err" "An error.",
    Warning "warning" "A warning.",
    Notice "notice" "Normal, but worth knowing.",
    Info "info" "For information.",
    Debug "debug" "For whoever looks for mistakes.",
}

/// The number of a level by its name, also by those that programs use.
pub(super) fn severity(name: &str) -> Option<u8> {
    let known = LEVELS.iter().position(|level| level.eq_ignore_ascii_case(name));
    let number = known.or_else(|| {
        let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(name));
        Some(match () {
            () if is(&["panic", "emergency"]) => 0,
            () if is(&["fatal", "critical"]) => 2,
            () if is(&["error"]) => 3,
            () if is(&["warn"]) => 4,
            () if is(&["informational"]) => 6,
            () if is(&["trace"]) => 7,
            () => return None,
        })
    });
    number.map(|number| number as u8)
}

/// The number of a facility by its name.
pub(super) fn facility(name: &str) -> Option<u8> {
    let number = FACILITIES.iter().position(|facility| facility.eq_ignore_ascii_case(name));
    number.map(|number| number as u8)
}
