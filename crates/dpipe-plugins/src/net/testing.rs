//! A door that does not open for everybody.

use std::sync::Arc;

use dpipe_plugin::{BoxFuture, Door, InputContext, InputError, Stream, StreamStart};

struct Picky {
    door: Arc<dyn Door>,
    refused: &'static str,
}

/// The context with a door that opens no stream of a file that begins like this.
pub(crate) fn refusing(refused: &'static str, context: InputContext) -> InputContext {
    let door = Arc::new(Picky { door: context.door, refused });
    InputContext { door, ..context }
}

impl Door for Picky {
    fn open(&self, start: StreamStart) -> Result<Arc<dyn Stream>, InputError> {
        if start.file.starts_with(self.refused) {
            self.door.skipped("path_without_tenant", 1);
            return Err(InputError { message: "no tenant".into(), source: None });
        }
        self.door.open(start)
    }

    fn tenant(&self, file: &str) -> Result<Arc<str>, InputError> {
        self.door.tenant(file)
    }

    fn freed(&self) -> BoxFuture<'_, ()> {
        self.door.freed()
    }

    fn some_settled(&self) -> BoxFuture<'_, ()> {
        self.door.some_settled()
    }

    fn skipped_of(&self, file: &str, reason: &'static str, count: u64) {
        self.door.skipped_of(file, reason, count);
    }

    fn noted(&self, what: &'static str, count: u64) {
        self.door.noted(what, count);
    }
}
