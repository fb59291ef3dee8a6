//! Writes BSON straight into bytes, each value once, however deep it stands. Names are ours, so none has a NUL in it.

use std::fmt::Write;

use bson::spec::ElementType;
use bson::{RawDocument, RawDocumentBuf};

use crate::event::EntityId;

/// How many bytes of a document say its length.
const LENGTH: usize = 4;
/// The subtype of binary values that are UUIDs.
const UUID: u8 = 4;

/// A document that is being written.
pub struct Writer {
    bytes: Vec<u8>,
}

/// Where a document or array begins that is not closed yet.
struct Open(usize);

impl Writer {
    /// An empty document with room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(bytes) };
        writer.begin();
        writer
    }

    /// The document.
    pub fn finish(mut self) -> RawDocumentBuf {
        self.close(Open(0));
        // Only a document without its length or its end is refused.
        RawDocumentBuf::from_bytes(self.bytes).unwrap_or_default()
    }

    /// Writes deep inside: through documents, and where a name has `[]` behind it, through an array.
    pub fn within(&mut self, path: &[&str], write: impl FnOnce(&mut Self)) {
        let Some((name, rest)) = path.split_first() else { return write(self) };
        match name.strip_suffix("[]") {
            Some(array) => self.name(ElementType::Array, array),
            None => self.name(ElementType::EmbeddedDocument, name),
        }
        let inner = self.begin();
        self.within(rest, write);
        self.close(inner);
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(ElementType::String, name);
        self.string(value);
    }

    pub fn int(&mut self, name: &str, value: i32) {
        self.name(ElementType::Int32, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn long(&mut self, name: &str, value: i64) {
        self.name(ElementType::Int64, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn truth(&mut self, name: &str, value: bool) {
        self.name(ElementType::Boolean, name);
        self.bytes.push(u8::from(value));
    }

    /// A date, in milliseconds since 1970.
    pub fn date(&mut self, name: &str, millis: i64) {
        self.name(ElementType::DateTime, name);
        self.bytes.extend_from_slice(&millis.to_le_bytes());
    }

    /// A document that is written already.
    pub fn document(&mut self, name: &str, value: &RawDocument) {
        self.name(ElementType::EmbeddedDocument, name);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// All that is in another document.
    pub fn members(&mut self, of: &RawDocument) {
        let bytes = of.as_bytes();
        self.bytes.extend_from_slice(&bytes[LENGTH..bytes.len() - 1]);
    }

    /// An identifier, as [`EntityId::to_bson`] has it.
    pub fn id(&mut self, name: &str, id: &EntityId) {
        match id {
            EntityId::String(text) => self.text(name, text),
            EntityId::Int(number) => self.long(name, *number),
            EntityId::ObjectId(bytes) => {
                self.name(ElementType::ObjectId, name);
                self.bytes.extend_from_slice(bytes);
            }
            EntityId::Uuid(uuid) => {
                self.name(ElementType::Binary, name);
                let bytes = uuid.as_bytes();
                self.length(bytes.len());
                self.bytes.push(UUID);
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// An array, each of its values under its place.
    pub fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, &str, T),
    ) {
        self.name(ElementType::Array, name);
        let array = self.begin();
        let mut place = String::new();
        for (at, item) in items.into_iter().enumerate() {
            place.clear();
            // Nothing fails that is written into memory.
            let _written = write!(place, "{at}");
            write(self, &place, item);
        }
        self.close(array);
    }

    fn begin(&mut self) -> Open {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        Open(start)
    }

    fn close(&mut self, Open(start): Open) {
        self.bytes.push(0);
        let length = i32::try_from(self.bytes.len() - start).unwrap_or(i32::MAX).to_le_bytes();
        self.bytes[start..start + LENGTH].copy_from_slice(&length);
    }

    fn name(&mut self, kind: ElementType, name: &str) {
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    fn string(&mut self, value: &str) {
        self.length(value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, doc};

    use super::*;

    #[test]
    fn what_is_written_reads_as_it_is_meant() {
        let ids = [
            EntityId::String("ann".into()),
            EntityId::Int(-7),
            EntityId::ObjectId([7; 12]),
            EntityId::Uuid(uuid::Uuid::from_u128(42)),
        ];
        let inner = doc! { "x": 1.5, "y": [Bson::Null] };
        let raw = RawDocumentBuf::try_from(&inner).unwrap();
        let mut writer = Writer::with_room(0);
        writer.within(&["a", "b[]", "0"], |writer| {
            writer.array("ids", &ids, Writer::id);
            writer.members(&raw);
        });
        writer.text("text", "ü");
        writer.int("int", -1);
        writer.long("long", i64::MIN);
        writer.truth("truth", true);
        writer.date("date", -1);
        writer.document("inner", &raw);
        writer.within(&["rest"], |_| {});
        let ids: Vec<Bson> = ids.iter().map(EntityId::to_bson).collect();
        let meant = doc! {
            "a": { "b": [{ "ids": ids, "x": 1.5, "y": [Bson::Null] }] },
            "text": "ü",
            "int": -1,
            "long": i64::MIN,
            "truth": true,
            "date": bson::DateTime::from_millis(-1),
            "inner": inner,
            "rest": {},
        };
        assert_eq!(Document::try_from(writer.finish()).unwrap(), meant);
    }
}
