//! The metadata of an event: what is known of it apart from its body.

/// A piece of metadata, readable in queries and templates like a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meta {
    /// `_time`: when the event happened; milliseconds since 1970.
    Time,
    /// `_received`: when dpipe read it; milliseconds since 1970.
    Received,
    /// `_area`: the region or shard of an ALS line.
    Area,
    /// `_tenant`: the product or team that owns it.
    Tenant,
    /// `_tag`: the name under which its batch is published now.
    Tag,
    /// `_input`: the input that read it.
    Input,
    /// `_file`: the file or peer it came from.
    File,
    /// `_offset`: its first byte within that stream.
    Offset,
    /// `_host`: the machine it came from.
    Host,
    /// `_id`: its deterministic id.
    Id,
    /// `_original_bytes`: how long its line was before it was cut to the input's limit; none if it
    /// is whole.
    OriginalBytes,
    /// `logfile`: the file's name without its date, number and suffix.
    Logfile,
}

impl Meta {
    /// Every piece of metadata, in the order of the documentation.
    pub const ALL: [Meta; 12] = [
        Meta::Time,
        Meta::Received,
        Meta::Area,
        Meta::Tenant,
        Meta::Tag,
        Meta::Input,
        Meta::File,
        Meta::Offset,
        Meta::Host,
        Meta::Id,
        Meta::OriginalBytes,
        Meta::Logfile,
    ];

    /// The word for it in queries, templates and the `metadata:` option.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Meta::Time => "_time",
            Meta::Received => "_received",
            Meta::Area => "_area",
            Meta::Tenant => "_tenant",
            Meta::Tag => "_tag",
            Meta::Input => "_input",
            Meta::File => "_file",
            Meta::Offset => "_offset",
            Meta::Host => "_host",
            Meta::Id => "_id",
            Meta::OriginalBytes => "_original_bytes",
            Meta::Logfile => "logfile",
        }
    }

    /// The metadata of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Meta> {
        Meta::ALL.into_iter().find(|meta| meta.name() == name)
    }
}
