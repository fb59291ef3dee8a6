//! Values that are mostly a single path, and may be more.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A path alone, or a mapping that says more.
#[derive(Clone, Debug)]
pub(in crate::manifest) enum Short<T> {
    /// `username: data.username`
    Path(String),
    /// `username: { from: data.username, … }`
    Full(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        parser.deserialize_any(Read(std::marker::PhantomData))
    }
}

struct Read<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
    type Value = Short<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or a mapping")
    }

    fn visit_str<E>(self, path: &str) -> Result<Short<T>, E> {
        Ok(Short::Path(path.to_owned()))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Short<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Short::Full)
    }
}

impl<T: JsonSchema> JsonSchema for Short<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrPath", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "string", "title": "a path" }, full] })
    }
}
