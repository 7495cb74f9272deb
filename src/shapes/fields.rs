//! The fields of one JSON document, without building a tree of it.
//!
//! Owns the streaming visitor: each field becomes a 64-bit hash of its path and type; the path as text is made only for
//! a hash never seen before.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The type of a field. Integers and fractions are both numbers: JSON makes no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    Null,
    Boolean,
    Number,
    String,
    Object,
    Array,
}

impl FieldKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

/// What serde_json calls the only key of a number that it kept as text.
const NUMBER: &str = "$serde_json::private::Number";

/// Reads documents; remembers what each hash stands for.
#[derive(Default)]
pub struct Fields {
    names: HashMap<u64, (String, FieldKind)>,
    /// Of the document at hand.
    found: Vec<u64>,
}

impl Fields {
    /// The sorted hashes of the document's fields, each once.
    ///
    /// # Errors
    /// It is not one JSON document.
    pub fn read(&mut self, payload: &[u8]) -> Result<&[u64], serde_json::Error> {
        self.found.clear();
        let mut document = serde_json::Deserializer::from_slice(payload);
        let root = Path { parent: None, key: "", hash: 0xcbf2_9ce4_8422_2325 };
        Node { fields: self, path: &root }.deserialize(&mut document)?;
        document.end()?;
        self.found.sort_unstable();
        self.found.dedup();
        Ok(&self.found)
    }

    /// Path and type of each hash, sorted.
    pub fn names(&self, hashes: &[u64]) -> Vec<(String, FieldKind)> {
        let mut names: Vec<_> = hashes.iter().filter_map(|hash| self.names.get(hash).cloned()).collect();
        names.sort();
        names
    }

    fn note(&mut self, path: &Path<'_>, kind: FieldKind) {
        let hash = mixed(path.hash, &[kind as u8 + 1]);
        if self.found.last() != Some(&hash) {
            self.found.push(hash);
        }
        self.names.entry(hash).or_insert_with(|| (path.text(), kind));
    }
}

/// Where the reader is: a chain of borrowed names up to the root.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    key: &'a str,
    hash: u64,
}

impl<'a> Path<'a> {
    fn child<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        // 0xff occurs in no UTF-8 text: `a.b` and a key of that name stay two.
        Path { parent: Some(self), key, hash: mixed(mixed(self.hash, &[0xff]), key.as_bytes()) }
    }

    fn text(&self) -> String {
        match self.parent {
            None => String::new(),
            Some(parent) => {
                let before = parent.text();
                if before.is_empty() || self.key == "[]" { before + self.key } else { before + "." + self.key }
            }
        }
    }
}

/// FNV-1a.
fn mixed(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

struct Node<'f, 'p> {
    fields: &'f mut Fields,
    path: &'p Path<'p>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.fields.note(self.path, FieldKind::Null);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.fields.note(self.path, FieldKind::Boolean);
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.fields.note(self.path, FieldKind::Number);
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.fields.note(self.path, FieldKind::Number);
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.fields.note(self.path, FieldKind::Number);
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.fields.note(self.path, FieldKind::String);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.fields.note(self.path, FieldKind::Array);
        let path = self.path.child("[]");
        while items.next_element_seed(Node { fields: &mut *self.fields, path: &path })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut first = true;
        while let Some(key) = entries.next_key_seed(Key)? {
            if first && key == NUMBER {
                entries.next_value::<serde::de::IgnoredAny>()?;
                self.fields.note(self.path, FieldKind::Number);
                return Ok(());
            }
            if first && self.path.parent.is_some() {
                self.fields.note(self.path, FieldKind::Object);
            }
            first = false;
            let path = self.path.child(&key);
            entries.next_value_seed(Node { fields: &mut *self.fields, path: &path })?;
        }
        if first {
            self.fields.note(self.path, FieldKind::Object);
        }
        Ok(())
    }
}

/// A key, borrowed unless it holds an escape.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
