//! Panics of plugins: caught, put into words, never passed on.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use dpipe_plugin::BuildError;

thread_local! {
    /// How many [`catch`] this thread is in.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread would be caught by the engine now, which then says so, with the
/// node that it is of. For the process's panic hook, which has to speak for all others.
#[must_use]
pub fn panic_is_caught() -> bool {
    CATCHING.get() > 0
}

/// Runs a plugin's code; a panic comes back as its message.
///
/// What the code held when it panicked may be half changed: the caller builds it anew.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    CATCHING.set(CATCHING.get() + 1);
    let done = catch_uncounted(code);
    CATCHING.set(CATCHING.get() - 1);
    done
}

fn catch_uncounted<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| message(&*panic))
}

/// The same for a future.
pub(crate) async fn catch_async<F: Future>(future: F) -> Result<F::Output, String> {
    Caught { future: Box::pin(future), is_plugins: true }.await
}

/// The same for a part of the engine itself. Where it panicked is for the panic's hook to say: a
/// panic here is no plugin's, but a bug.
pub(crate) async fn catch_own<F: Future>(future: F) -> Result<F::Output, String> {
    Caught { future: Box::pin(future), is_plugins: false }.await
}

/// Builds a plugin; why it could not be built comes back in words, a panic among them.
pub(crate) fn build<T>(build: impl FnOnce() -> Result<T, BuildError>) -> Result<T, String> {
    match catch(build) {
        Ok(built) => built.map_err(|error| chain(&error)),
        Err(panic) => Err(format!("it panicked: {panic}")),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

struct Caught<F> {
    future: Pin<Box<F>>,
    is_plugins: bool,
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, String>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let is_plugins = self.is_plugins;
        let poll = || self.future.as_mut().poll(context);
        match if is_plugins { catch(poll) } else { catch_uncounted(poll) } {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without words".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_comes_back_as_its_message() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(catch(|| -> u8 { panic!("no {}", 1) }), Err("no 1".into()));
        let late = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "too late");
        };
        assert_eq!(catch_async(late).await, Err("too late".into()));
    }

    #[test]
    fn it_is_known_whether_a_panic_would_be_caught() {
        assert!(!panic_is_caught());
        let inside = catch(|| (panic_is_caught(), catch(panic_is_caught), panic_is_caught()));
        assert_eq!(inside, Ok((true, Ok(true), true)));
        assert!(catch(|| panic!("gone")).is_err());
        assert!(!panic_is_caught());
    }

    #[test]
    fn a_panic_while_building_is_a_failure_to_build() {
        assert_eq!(build(|| Ok(1)), Ok(1));
        let caused = || Err::<u8, _>(BuildError::caused("cannot load", "no such file"));
        assert_eq!(build(caused), Err("cannot load: no such file".into()));
        assert_eq!(build::<u8>(|| panic!("boom")), Err("it panicked: boom".into()));
    }
}
