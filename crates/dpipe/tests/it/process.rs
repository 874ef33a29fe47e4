//! Runs the binary, waits for what it does, ends it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn dpipe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpipe"));
    command.stdin(Stdio::null()).env_remove("DPIPE_LOG").env_remove("NO_COLOR");
    command
}

/// Runs a command of the binary to its end.
pub(crate) fn run(arguments: &[&str], stdin: &str) -> Output {
    let mut child = dpipe()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a configuration, and a dpipe that runs it.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(config: &str) -> Self {
        World::listening("off", config)
    }

    /// The same with an admin API; its port is free.
    pub(crate) fn with_api(config: &str) -> Self {
        World::listening("127.0.0.1:0", config)
    }

    fn listening(listen: &str, config: &str) -> Self {
        let world = World { dir: tempfile::tempdir().unwrap() };
        world.write("dpipe.yaml", format!("api: {{ listen: \"{listen}\" }}\n{config}"));
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The text of a file; empty if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// How far the streams of an input have come, by their checkpoints; without order.
    pub(crate) fn positions(&self, input: &str) -> Vec<u64> {
        let mut positions = HashMap::new();
        for line in self.lines(&format!("dpipe-data/checkpoints/{input}")) {
            // A checksum, and then a key and its value; less if it is just being written.
            let change = line.get(9..).map(serde_json::from_str::<[String; 2]>);
            let Some(Ok([key, value])) = change else { continue };
            let value: serde_json::Value = serde_json::from_str(&value).unwrap();
            positions.extend(value["offset"].as_u64().map(|offset| (key, offset)));
        }
        positions.into_values().collect()
    }

    /// Runs until all inputs are exhausted.
    pub(crate) fn batch(&self) -> Output {
        let config = self.path("dpipe.yaml");
        dpipe().args(["run", "--batch"]).arg(config).output().unwrap()
    }

    /// Starts it, and waits until it says that it runs.
    pub(crate) fn start(&self) -> Running {
        self.start_by(dpipe().arg("run"))
    }

    /// The same by a command that only lacks the configuration.
    pub(crate) fn start_by(&self, command: &mut Command) -> Running {
        let mut child = command
            .arg(self.path("dpipe.yaml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let listener = std::thread::spawn({
            let (said, stderr) = (said.clone(), child.stderr.take().unwrap());
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.lock().push_str(&format!("{line}\n"));
                }
            }
        });
        wait_until("it runs", || said.lock().contains("Ctrl-C ends it in order"));
        Running { child: Some(child), said, listener: Some(listener) }
    }
}

/// A dpipe that runs; killed if the test ends without ending it.
pub(crate) struct Running {
    child: Option<Child>,
    said: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

/// How a run ended, and what it said on standard error.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

impl Running {
    /// Its standard output, to be read.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.as_mut().unwrap().stdout.take().unwrap()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().clone()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends it in order; it must say that its books balance.
    pub(crate) fn stop(self) {
        self.signal(rustix::process::Signal::TERM);
        let Ended { status, said } = self.ended();
        assert!(status.success(), "{said}");
        assert!(said.contains("the books balance"), "{said}");
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let status = self.child.take().unwrap().wait().unwrap();
        self.listener.take().unwrap().join().unwrap();
        Ended { status, said: self.said.lock().clone() }
    }

    /// The most memory that it has had so far.
    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// What the admin API answers.
    pub(crate) fn get(&self, uri: &str) -> String {
        let said = self.said.lock().clone();
        let address = said.split("admin API http://").nth(1).unwrap().split('/').next().unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {uri} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        answer
    }

    /// Where its input listens, which it says when it does.
    pub(crate) fn listens_at(&self) -> String {
        let address = || -> Option<String> {
            let said = self.said.lock();
            let line = said.lines().find(|line| line.contains("listening"))?;
            Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
        };
        wait_until("it listens", || address().is_some());
        address().unwrap()
    }

    /// Waits until it says something.
    pub(crate) fn wait_for(&self, words: &str) {
        wait_until(words, || self.said.lock().contains(words));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
