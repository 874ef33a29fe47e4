//! Loads and checks a configuration, and says what is wrong with it.

use std::path::Path;
use std::process::ExitCode;

use dpipe_config::load::{ProcessSurroundings, load};
use dpipe_config::plan::Plan;
use dpipe_engine::StartError;
use dpipe_plugin::settings::Problems;
use dpipe_plugins::BUILT_IN;

use crate::logging::{hide, say};

/// The exit code that says: the configuration is wrong.
pub(crate) const CONFIG_IS_WRONG: u8 = 2;

/// The plan of a configuration file; if it is wrong, everything that is wrong is said, and the exit
/// code comes back.
pub(crate) fn plan(path: &Path) -> Result<(Plan, Problems), ExitCode> {
    let loaded = load(path, &ProcessSurroundings).map_err(|problems| refuse(&problems))?;
    let (plan, mut warnings) = Plan::check(&loaded.root, &BUILT_IN, path.to_owned())
        .map_err(|problems| refuse(&problems))?;
    hide(plan.secrets.clone());
    for warning in loaded.warnings.iter() {
        warnings.push(warning.clone());
    }
    Ok((plan, warnings))
}

/// The plan, its warnings said.
pub(crate) fn plan_saying_warnings(path: &Path) -> Result<Plan, ExitCode> {
    let (plan, warnings) = plan(path)?;
    if !warnings.is_empty() {
        say(&warnings.render());
    }
    Ok(plan)
}

/// Says why a plan cannot start, with the place in the configuration where there is one. That is no
/// mistake of the configuration: a file that is missing may come.
pub(crate) fn cannot_start(error: StartError) -> anyhow::Result<ExitCode> {
    let Some(problem) = error.problem() else { return Err(error.into()) };
    say(&problem.render());
    Ok(ExitCode::FAILURE)
}

fn refuse(problems: &Problems) -> ExitCode {
    say(&problems.render());
    ExitCode::from(CONFIG_IS_WRONG)
}
