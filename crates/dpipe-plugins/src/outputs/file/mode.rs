//! The permissions of new files, as `chmod` has them.

use std::borrow::Cow;
use std::fmt;

use dpipe_plugin::settings::error_in_text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Permissions: owner, group, others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode(u32);

impl Mode {
    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

/// rsyslog lets all read, other shippers leave it to the umask. Logs hold what is not for all, and
/// the group is the usual way to give a shipper or an admin access.
impl Default for Mode {
    fn default() -> Self {
        Mode(0o640)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A number without quotes comes as its digits; TOML marks octal ones.
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        let is_octal = (3..=4).contains(&digits.len())
            && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let wrong = |why: String| Err(error_in_text(0..text.len(), why));
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => {
                if mode & 0o600 == 0o600 {
                    Ok(Mode(mode))
                } else {
                    wrong(format!("with `{text}` dpipe itself could not read and write the file"))
                }
            }
            _ => wrong(format!("expected octal permissions such as `0640`, found `{text}`")),
        }
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Permissions".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^(0o)?0?[67][0-7]{2}$",
            "description": "Permissions as `chmod` has them: `0640`."
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use dpipe_env::RealEnv;
    use dpipe_testkit::{OutputCheck, output_mistake};

    use super::super::Config;

    /// The permissions of a new file and of its folder.
    fn written(mode: &str) -> (u32, u32) {
        let dir = tempfile::tempdir().unwrap();
        let settings = format!("path: 'logs/{{a}}/x.log'\n{mode}");
        OutputCheck::new::<Config>(&settings, RealEnv, dir.path()).write("{\"a\":1}");
        let mode = |path| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("logs"), mode("logs/1"), "the base is like the folders below it");
        (mode("logs/1/x.log"), mode("logs/1"))
    }

    #[test]
    fn new_files_have_the_permissions_of_the_configuration() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim();
        let allowed = !u32::from_str_radix(umask, 8).unwrap();
        for (mode, file, folder) in [
            ("", 0o640, 0o750),
            ("mode: 0600", 0o600, 0o700),
            ("mode: '644'", 0o644, 0o755),
            ("mode: 0o660", 0o660, 0o770),
        ] {
            assert_eq!(written(mode), (file & allowed, folder & allowed), "{mode}");
        }
    }

    #[test]
    fn what_is_no_mode_is_a_mistake_at_its_place() {
        let mistake = |mode: &str| output_mistake::<Config>(&format!("path: x\nmode: {mode}"));
        for mode in ["888", "rw-r-----", "64", "01640", "1777"] {
            let said = mistake(mode);
            assert!(
                said.starts_with("output.yaml:2:7: error: expected octal permissions"),
                "{said}"
            );
        }
        assert!(mistake("0440").contains("dpipe itself could not read and write the file"));
    }
}
