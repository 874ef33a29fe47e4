//! The dpipe binary: the only place that sees both the engine and the plugins.

mod books;
mod commands;
mod loading;
mod logging;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::graph::Format;

/// Events are many small allocations of changing sizes; mimalloc measures well on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// The description that people read is the one of the package.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the pipeline of a configuration.
    ///
    /// SIGINT, SIGTERM and SIGHUP end it in order: inputs stop, lanes drain, outputs flush. A second
    /// one ends it at once, which loses nothing that can be read again. (A SIGHUP that is ignored
    /// from the start, as under nohup, stays ignored.) At the end the books are printed.
    ///
    /// It exits with 0 if it was told to stop, if all inputs are exhausted, or if nobody reads its
    /// standard output any more; with 2 if the configuration is wrong; and with 1 if it could not
    /// start, an input was given up, events are lost that cannot be read again, or the books do not
    /// balance.
    Run {
        /// The configuration file.
        config: PathBuf,
        /// End when all inputs are exhausted.
        ///
        /// It then also exits with 1 if inputs left something out, such as a damaged file or one whose
        /// path names no tenant, or if not everything has arrived. Dead letters do not count.
        #[arg(long)]
        batch: bool,
        /// How long an orderly end may take after a signal, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        grace: u64,
    },
    /// Say everything that is wrong with a configuration, and how safe its paths are.
    Check {
        /// The configuration file.
        config: PathBuf,
    },
    /// Draw the pipeline of a configuration.
    Graph {
        /// The configuration file.
        config: PathBuf,
        /// The notation of the picture.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Show what happens to lines from standard input: what every step changes and costs, and who
    /// takes the event.
    Explain {
        /// The configuration file.
        config: PathBuf,
        /// The tag that the lines would have: the name of an input, or what a filter publishes; then
        /// the lines are read by the codec of an input before it.
        #[arg(long)]
        tag: String,
        /// The file that the lines would come from; its path may name the tenant.
        #[arg(long, default_value = "")]
        file: String,
    },
    /// Run the tests that stand beside configurations: als.test.yaml beside als.yaml.
    Test {
        /// The configuration files, or their files of tests.
        #[arg(required = true, value_name = "CONFIG")]
        configs: Vec<PathBuf>,
        /// Run only tests with this in their name.
        #[arg(long, value_name = "NAME")]
        filter: Option<String>,
    },
    /// Print the JSON Schema of configurations, for editors.
    Schema,
    /// List the plugins, or explain one.
    Plugins {
        /// The plugin to explain.
        name: Option<String>,
    },
    /// Write the pages of the reference, for the repository.
    #[command(hide = true)]
    Reference {
        /// The folder to write them to.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = logging::start();
    let done = match arguments.command {
        Command::Run { config, batch, grace } => commands::run::run(&config, batch, grace, log),
        Command::Check { config } => commands::check::run(&config),
        Command::Graph { config, format } => commands::graph::run(&config, format),
        Command::Explain { config, tag, file } => commands::explain::run(&config, &tag, &file),
        Command::Test { configs, filter } => commands::test::run(&configs, filter.as_deref()),
        Command::Schema => commands::schema::run(),
        Command::Plugins { name } => commands::plugins::run(name.as_deref()),
        Command::Reference { folder } => commands::reference::run(&folder),
    };
    match done {
        Ok(code) => code,
        // Whoever read our output has what it wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&format!("dpipe: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
