//! Reading typed configurations out of the tree, through `serde`.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Entry, Node, NodeValue, Problem, Scalar, ScalarKind, SettingsError};

/// Reads a typed configuration; a mistake points at the text that is wrong.
pub fn deserialize<T: DeserializeOwned>(node: &Node) -> Result<T, Problem> {
    deserialize_knowing(node, &[])
}

/// Like [`deserialize`] for the rest of a map some of whose keys were read (and removed) before;
/// a misspelled key may have meant one of them.
pub fn deserialize_knowing<T: DeserializeOwned>(node: &Node, also: &[&str]) -> Result<T, Problem> {
    T::deserialize(node).map_err(|error: SettingsError| error.into_problem(node, also))
}

type Result<T, E = SettingsError> = std::result::Result<T, E>;

impl Node {
    fn wrong<T>(&self, expected: &str) -> Result<T> {
        Err(SettingsError::wrong_type(expected, self))
    }

    pub(super) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            NodeValue::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Gives a visitor what the value looks like.
    fn visit<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value> {
        let scalar = match &self.value {
            NodeValue::List(items) => return visitor.visit_seq(Items(items.iter())),
            NodeValue::Map(entries) => return visitor.visit_map(Entries::new(entries)),
            NodeValue::Scalar(scalar) => scalar,
        };
        match scalar.kind {
            ScalarKind::Null => visitor.visit_unit(),
            ScalarKind::Bool => visitor.visit_bool(scalar.as_bool() == Some(true)),
            ScalarKind::Integer => visit_integer(scalar, visitor),
            ScalarKind::Float => visitor.visit_f64(scalar.as_float().unwrap_or(f64::NAN)),
            ScalarKind::String => visitor.visit_borrowed_str(&scalar.text),
        }
    }
}

/// The smallest type that holds the number.
fn visit_integer<'de, V: Visitor<'de>>(scalar: &'de Scalar, visitor: V) -> Result<V::Value> {
    let too_large = || SettingsError::custom("the number is too large");
    let (negative, magnitude) = scalar.as_integer().ok_or_else(too_large)?;
    if negative {
        let value = 0_i128.checked_sub_unsigned(magnitude).ok_or_else(too_large)?;
        match i64::try_from(value) {
            Ok(value) => visitor.visit_i64(value),
            Err(_) => visitor.visit_i128(value),
        }
    } else {
        match u64::try_from(magnitude) {
            Ok(value) => visitor.visit_u64(value),
            Err(_) => visitor.visit_u128(magnitude),
        }
    }
}

macro_rules! deserialize_integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let Some((negative, magnitude)) = self.as_scalar().and_then(Scalar::as_integer) else {
                return self.wrong("a whole number");
            };
            let value = if negative {
                0_i128.checked_sub_unsigned(magnitude).and_then(|value| <$type>::try_from(value).ok())
            } else {
                <$type>::try_from(magnitude).ok()
            };
            match value {
                Some(value) => visitor.$visit(value).map_err(|error: SettingsError| error.at(self)),
                None => {
                    self.wrong(&format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
                }
            }
        }
    )*};
}

macro_rules! deserialize_as_it_looks {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.visit(visitor).map_err(|error| error.at(self))
        }
    )*};
}

macro_rules! deserialize_texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.as_str() {
                Some(text) => visitor.visit_borrowed_str(text),
                None => self.visit(visitor),
            }
            .map_err(|error: SettingsError| error.at(self))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = SettingsError;

    deserialize_as_it_looks! { deserialize_any deserialize_seq deserialize_bytes deserialize_byte_buf deserialize_unit }

    deserialize_texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    deserialize_integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.as_scalar().and_then(Scalar::as_bool) {
            Some(value) => visitor.visit_bool(value).map_err(|error: SettingsError| error.at(self)),
            None => self.wrong("`true` or `false`"),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.as_scalar().and_then(Scalar::as_float) {
            Some(value) => visitor.visit_f64(value).map_err(|error: SettingsError| error.at(self)),
            None => self.wrong("a number"),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
            .map_err(|error: SettingsError| error.at(self))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self).map_err(|error: SettingsError| error.at(self))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        match &self.value {
            NodeValue::List(items) if items.len() != len => {
                let found = items.len();
                let error = SettingsError::custom(format_args!(
                    "expected a list of {len} items, found {found}"
                ));
                Err(error.at(self))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.as_map() {
            Some(entries) => visitor.visit_map(Entries::new(entries)),
            // A derived struct would take a list for its fields in order.
            None if self.as_list().is_some() => return self.wrong("a map"),
            None => self.visit(visitor),
        }
        .map_err(|error| error.at(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let choice = match (&self.value, self.as_str()) {
            (NodeValue::Map(entries), _) if entries.len() == 1 => Choice::Entry(&entries[0]),
            (_, Some(_)) => Choice::Name(self),
            _ => {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                return self.wrong(&format!("one of {}", names.join(", ")));
            }
        };
        visitor.visit_enum(choice).map_err(|error| error.at(self))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = SettingsError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(item) = self.0.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|error| error.at(item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> Entries<'de> {
    fn new(entries: &'de [Entry]) -> Self {
        Self { rest: entries.iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = SettingsError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.current = self.rest.next();
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(Key(entry)).map(Some).map_err(|error| error.at_key(entry))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let entry = self.current.expect("serde asks for a value after its key");
        seed.deserialize(&entry.value).map_err(|error| error.at(&entry.value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A key of a map: a string that may be read as a number.
struct Key<'de>(&'de Entry);

macro_rules! deserialize_number_keys {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0.key.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(SettingsError::invalid_type(Unexpected::Str(&self.0.key), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = SettingsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(&self.0.key)
    }

    deserialize_number_keys! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32
        deserialize_i64 visit_i64 deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32
        deserialize_u64 visit_u64 deserialize_u128 visit_u128
        deserialize_f32 visit_f32 deserialize_f64 visit_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let name: StrDeserializer<'_, SettingsError> = self.0.key.as_str().into_deserializer();
        visitor.visit_enum(name)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A variant of an enum: a name alone, or a name with what belongs to it.
enum Choice<'de> {
    Name(&'de Node),
    Entry(&'de Entry),
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = SettingsError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let variant = match &self {
            Self::Name(node) => seed.deserialize(*node)?,
            Self::Entry(entry) => {
                seed.deserialize(Key(entry)).map_err(|error| error.at_key(entry))?
            }
        };
        Ok((variant, self))
    }
}

impl<'de> Choice<'de> {
    fn content(self) -> Result<&'de Node> {
        match self {
            Self::Entry(entry) => Ok(&entry.value),
            Self::Name(node) => {
                let error = SettingsError::custom(format_args!(
                    "{} needs settings: write it as a key, with them behind the colon",
                    node.describe()
                ));
                Err(error.at(node))
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = SettingsError;

    fn unit_variant(self) -> Result<()> {
        match self {
            Self::Entry(Entry { key, value }) if !value.is_null() => {
                Err(SettingsError::custom(format_args!("`{key}` takes no settings")).at(value))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        let content = self.content()?;
        seed.deserialize(content).map_err(|error| error.at(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.content()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.content()?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests;
