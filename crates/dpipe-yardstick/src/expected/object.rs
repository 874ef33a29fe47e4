//! A JSON object as its keys and the texts of its values.

use std::fmt;

use anyhow::Result;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Keys and the texts of their values, in order.
#[derive(Default)]
pub(super) struct Object(Vec<(String, String)>);

impl Object {
    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// The value's text.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, text)| text.as_str())
    }

    /// The value, if it is an object.
    pub(super) fn object(&self, key: &str) -> Result<Option<Object>> {
        self.get(key).filter(|text| text.starts_with('{')).map(Object::parse).transpose()
    }

    /// The value, if it is a string.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        let text = self.get(key).filter(|text| text.starts_with('"'));
        Ok(text.map(serde_json::from_str).transpose()?)
    }

    /// Replaces the value, or adds it at the end.
    pub(super) fn set(&mut self, key: &str, text: String) {
        match self.0.iter_mut().find(|(found, _)| found == key) {
            Some((_, old)) => *old = text,
            None => self.0.push((key.to_owned(), text)),
        }
    }

    pub(super) fn set_text(&mut self, key: &str, text: &str) {
        self.set(key, serde_json::Value::from(text).to_string());
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(found, _)| found != key);
    }

    pub(super) fn to_text(&self) -> String {
        let mut out = String::from("{");
        for (key, text) in &self.0 {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(key.as_str()).to_string());
            out.push(':');
            out.push_str(text);
        }
        out.push('}');
        out
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.to_text().into_bytes()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    object.0.push((key, value.get().to_owned()));
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
