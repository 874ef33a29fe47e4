//! The programs that tests talk to: what is missing is installed from the distribution.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// A program that tests run, and the package that brings it.
struct Service {
    /// What it is called here.
    name: &'static str,
    /// One of these files is there if it is installed, in a folder of `PATH` or of the system's
    /// own programs.
    programs: &'static [&'static str],
    package: &'static str,
}

const SERVICES: &[Service] = &[
    Service { name: "apache", programs: &["apache2"], package: "apache2-bin" },
    Service { name: "curl", programs: &["curl"], package: "curl" },
    Service { name: "java", programs: &["java"], package: "default-jdk-headless" },
    Service { name: "logger", programs: &["logger"], package: "bsdutils" },
    Service { name: "nginx", programs: &["nginx"], package: "nginx-light" },
    Service { name: "python", programs: &["python3"], package: "python3-minimal" },
    Service { name: "socat", programs: &["socat"], package: "socat" },
];

/// Where Debian puts what is not for every user's `PATH`.
const SYSTEM: &[&str] = &["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// `cargo xtask services up [NAME…]`: sees to it that these programs are there; all, without a name.
pub(crate) fn up(names: &[&str]) -> Result<()> {
    let wanted = wanted(names)?;
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|service| !service.is_there())
        .map(|service| service.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing).with_context(|| {
        format!("the tests need {}; install them and start again", missing.join(", "))
    })?;
    let still: Vec<&str> =
        wanted.iter().filter(|service| !service.is_there()).map(|service| service.name).collect();
    if !still.is_empty() {
        bail!("installed, and still not there: {}", still.join(", "));
    }
    Ok(())
}

fn wanted(names: &[&str]) -> Result<Vec<&'static Service>> {
    if names.is_empty() {
        return Ok(SERVICES.iter().collect());
    }
    let find = |name: &&str| {
        SERVICES.iter().find(|service| service.name == *name).with_context(|| {
            let known: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
            format!("there is no service `{name}`; there is {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

impl Service {
    fn is_there(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(SYSTEM.iter().map(Into::into));
        let mut files =
            folders.flat_map(|folder| self.programs.iter().map(move |p| folder.join(p)));
        files.any(|file| file.is_file())
    }
}

/// Installs packages by apt; as root, or through sudo where it asks for no password.
fn install(packages: &[&str]) -> Result<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    let apt = |arguments: &[&str]| -> Result<()> {
        let mut command = if is_root {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "apt-get"]);
            sudo
        };
        let shown = arguments.join(" ");
        eprintln!("── apt-get {shown}");
        let status = command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // A package must not start its service here: tests start their own.
            .env("RUNLEVEL", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .context("there is no apt-get here that may be used")?;
        if !status.success() {
            bail!("apt-get {shown}: {status}");
        }
        Ok(())
    };
    let mut wanted = vec!["install", "--yes", "--no-install-recommends"];
    wanted.extend(packages);
    // The lists may be old or not there; they are fetched only if it does not work without.
    if apt(&wanted).is_ok() {
        return Ok(());
    }
    apt(&["update"])?;
    apt(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_not_known_is_named_with_those_that_are() {
        let error = wanted(&["curl", "crul"]).map(|services| services.len()).unwrap_err();
        assert!(error.to_string().starts_with("there is no service `crul`; there is apache, curl"));
        assert_eq!(wanted(&[]).unwrap().len(), SERVICES.len());
    }

    #[test]
    fn what_is_nowhere_is_not_there() {
        let none = Service { name: "x", programs: &["no-such-program-anywhere"], package: "x" };
        assert!(!none.is_there());
        assert!(Service { name: "sh", programs: &["sh"], package: "dash" }.is_there());
    }
}
