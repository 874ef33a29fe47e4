//! A process group that does not outlive whoever started it.
//!
//! The group is led by a keeper: a shell that waits at the end of a pipe whose other end dpipe holds.
//! However dpipe ends, `kill -9` included, the pipe closes and the keeper kills the group, itself with
//! it. The system's own means, `PR_SET_PDEATHSIG`, is tied to the *thread* that started the child,
//! and threads of a pool come and go; and it reaches the child alone, not what that started.
//!
//! The keeper stays unreaped until the group was killed, so its number cannot have become another's.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// Signals that are meant for the others in the group are not for the keeper.
const KEEPER: &str = "trap '' TERM INT HUP; read -r _; kill -KILL 0";

/// A process group; killed when it is dropped.
pub(crate) struct Group {
    keeper: Child,
    id: Pid,
}

impl Group {
    pub(super) fn new() -> io::Result<Group> {
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            // It stands in nobody's way, and has no secrets.
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let id = Pid::from_child(&keeper);
        Ok(Group { keeper, id })
    }

    /// Lets a command be started in this group.
    pub(super) fn take_in(&self, command: &mut Command) {
        command.process_group(self.id.as_raw_nonzero().get());
    }

    /// Sends a signal to everyone in it.
    pub(crate) fn signal(&self, signal: Signal) {
        // There is always the keeper to get it.
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::super::tests::{is_alive, wait_until};
    use super::*;

    #[test]
    fn what_a_child_started_ends_with_the_group() {
        let group = Group::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped());
        group.take_in(&mut command);
        let mut child = command.spawn().unwrap();
        let mut grandchild = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut grandchild).unwrap();
        assert!(is_alive(grandchild.trim()));
        drop(group);
        assert!(!child.wait().unwrap().success());
        wait_until(|| !is_alive(grandchild.trim()));
    }

    #[test]
    fn the_group_ends_when_nobody_holds_the_other_end_of_the_keepers_pipe() {
        let mut group = Group::new().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        group.take_in(&mut command);
        let mut child = command.spawn().unwrap();
        drop(group.keeper.stdin.take());
        assert!(!child.wait().unwrap().success());
    }
}
