//! Fields that are not kept in clear: they are hashed, masked or encrypted where they are taken out of an event or an
//! answer, so that nothing behind it ever sees what they say.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::Bson;
use ring::{aead, hmac};
use serde_json::Value as Json;

use super::entity::whole;
use super::{EntityId, EntityType, Plain};

/// How a hash begins; the number is that of the form.
const HASH: &str = "h1:";
/// How a ciphertext begins, with the id of its key behind it.
const CIPHER: &str = "e1:";
/// What stands for what a mask hides. It does not say how much that is.
const HIDDEN: &str = "•••";
/// What a key signs, so that it can be told from others. No hash is of this: each has a NUL in what it is of.
const PRINTED: &[u8] = b"nearcopy: which key";
/// What a key signs, so that there is another one for nonces.
const NONCES: &[u8] = b"nearcopy: nonces";

/// How a field is kept from whoever sees what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// As a hash by a key: equal values can be told, and nothing else.
    Hash,
    /// As little of it as a person needs to recognize it.
    Mask,
    /// Encrypted: whoever has the key can read it.
    Encrypt,
}

/// The keys of a deployment. Shown or logged, they are hidden.
#[derive(Default)]
pub struct Keys {
    hash: Option<hmac::Key>,
    /// The first one is written with, all are read with.
    encrypt: Vec<EncryptKey>,
}

/// A key by its id.
struct EncryptKey {
    id: String,
    cipher: aead::LessSafeKey,
    nonces: hmac::Key,
    print: String,
}

/// What protects the fields of one replica.
#[derive(Clone, Debug)]
pub struct Guard {
    replica: EntityType,
    keys: Arc<Keys>,
}

impl Keys {
    /// How many bytes a key has.
    pub const LENGTH: usize = 32;

    /// With a key by which fields are hashed.
    #[must_use]
    pub fn hashing(self, key: &[u8]) -> Self {
        Self { hash: Some(hmac::Key::new(hmac::HMAC_SHA256, key)), ..self }
    }

    /// With one more key by which fields are encrypted; `None` where it is of another length than [`Keys::LENGTH`].
    #[must_use]
    pub fn encrypting(mut self, id: &str, key: &[u8]) -> Option<Self> {
        let by = hmac::Key::new(hmac::HMAC_SHA256, key);
        let cipher = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).ok()?);
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&by, NONCES).as_ref());
        self.encrypt.push(EncryptKey { id: id.to_owned(), cipher, nonces, print: print(&by) });
        Some(self)
    }

    /// Whether fields can be protected so.
    pub fn can(&self, how: Protection) -> bool {
        match how {
            Protection::Hash => self.hash.is_some(),
            Protection::Mask => true,
            Protection::Encrypt => !self.encrypt.is_empty(),
        }
    }

    /// What tells what is protected now from what was by another key, without saying anything of either. Without a key
    /// nothing is protected, and it says that.
    pub fn print(&self, how: Protection) -> String {
        let print = match how {
            Protection::Hash => self.hash.as_ref().map(print),
            Protection::Mask => return "mask".to_owned(),
            Protection::Encrypt => self.encrypt.first().map(|key| format!("{}/{}", key.id, key.print)),
        };
        format!("{how} by {}", print.as_deref().unwrap_or("nobody"))
    }
}

impl Guard {
    /// Protects the fields of this replica by these keys.
    pub fn new(replica: EntityType, keys: Arc<Keys>) -> Self {
        Self { replica, keys }
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The value of a field as it is kept; `None` where there is no key for that. A null says nothing, and stays.
    pub fn protect(&self, how: Protection, field: &str, of: &EntityId, value: &Bson) -> Option<Bson> {
        match (how, value) {
            (_, Bson::Null) => Some(Bson::Null),
            (Protection::Hash, _) => self.hash(field, value),
            (Protection::Mask, _) => Some(mask(value).into()),
            (Protection::Encrypt, _) => self.encrypt(field, of, value).map(Bson::from),
        }
    }

    /// The hash of a field's value, the same for equal values in every replica that has a field of this name.
    pub fn hash(&self, field: &str, value: &Bson) -> Option<Bson> {
        let signed = format!("{field}\0{}", canonical(value));
        let tag = hmac::sign(self.keys.hash.as_ref()?, signed.as_bytes());
        Some(format!("{HASH}{}", URL_SAFE_NO_PAD.encode(tag)).into())
    }

    /// What is encrypted, as JSON: so a program in any language reads it. Equal content gives an equal text, or events that
    /// come again would change records. So the nonce is made of all that goes in, and is another one for any other.
    fn encrypt(&self, field: &str, of: &EntityId, value: &Bson) -> Option<String> {
        let key = self.keys.encrypt.first()?;
        let place = self.place(field, of);
        let mut sealed = serde_json::to_vec(&Plain(value)).ok()?;
        let mut signing = hmac::Context::with_key(&key.nonces);
        for part in [place.as_bytes(), b"\0", sealed.as_slice()] {
            signing.update(part);
        }
        let nonce: [u8; aead::NONCE_LEN] = signing.sign().as_ref().first_chunk().copied()?;
        let unique = aead::Nonce::assume_unique_for_key(nonce);
        key.cipher.seal_in_place_append_tag(unique, aead::Aad::from(place), &mut sealed).ok()?;
        Some(format!("{CIPHER}{}:{}", key.id, URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())))
    }

    /// What an encrypted value says; `None` where it is none of this very field and entity, or its key is not there.
    pub fn reveal(&self, field: &str, of: &EntityId, stored: &Bson) -> Option<Json> {
        let (id, text) = stored.as_str()?.strip_prefix(CIPHER)?.split_once(':')?;
        let key = self.keys.encrypt.iter().find(|key| key.id == id)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(aead::NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = key.cipher.open_in_place(nonce, aead::Aad::from(self.place(field, of)), sealed).ok()?;
        serde_json::from_slice(opened).ok()
    }

    /// Where a value stands: what was encrypted for one place opens at no other. Neither name nor id has a NUL.
    fn place(&self, field: &str, of: &EntityId) -> String {
        format!("{}\0{field}\0{of}", self.replica)
    }
}

impl Protection {
    /// Whether a value looks as if it was protected so.
    pub(super) fn has_made(self, value: &Bson) -> bool {
        let Some(text) = value.as_str() else { return false };
        let bytes = |text| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes: Vec<u8>| bytes.len());
        match self {
            Self::Hash => text.strip_prefix(HASH).is_some_and(|text| bytes(text) == Keys::LENGTH),
            Self::Mask => mask(value) == text,
            Self::Encrypt => {
                let text = text.strip_prefix(CIPHER).and_then(|text| text.split_once(':'));
                text.is_some_and(|(_, text)| bytes(text) > aead::NONCE_LEN + aead::MAX_TAG_LEN)
            }
        }
    }
}

/// A value as text, with its type: the same for what is equal, though it may be written in two ways.
fn canonical(value: &Bson) -> String {
    let (kind, text) = match value {
        Bson::String(text) => ("string", text.clone()),
        Bson::Int32(_) | Bson::Int64(_) => ("int", plain(value)),
        Bson::Double(number) => match whole(*number) {
            Some(number) => ("int", number.to_string()),
            None => ("double", plain(value)),
        },
        Bson::Decimal128(number) => ("decimal", decimal(&number.to_string())),
        Bson::Boolean(_) => ("bool", plain(value)),
        Bson::DateTime(_) => ("date", plain(value)),
        Bson::ObjectId(_) => ("objectId", plain(value)),
        Bson::Binary(_) => ("uuid", plain(value)),
        Bson::Array(_) => ("array", plain(value)),
        _ => ("object", plain(value)),
    };
    format!("{kind}\0{text}")
}

/// A value as readers get it, a text without quotes.
fn plain(value: &Bson) -> String {
    match serde_json::to_value(Plain(value)).unwrap_or_default() {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// A decimal as its digits and a power of ten: `1.50` is `15E-1`, and so is `1.5`.
fn decimal(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, power) = text.split_once('E').unwrap_or((text, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{before}{after}");
    let digits = all.trim_end_matches('0');
    let zeros = i64::try_from(all.len() - digits.len()).unwrap_or_default();
    let places = i64::try_from(after.len()).unwrap_or_default();
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}E{}", power.parse::<i64>().unwrap_or_default() + zeros - places),
    }
}

/// Of an e-mail address the first letters of both parts and the last word, of other text the first letter, of anything
/// else nothing.
fn mask(value: &Bson) -> String {
    let Some(text) = value.as_str() else { return HIDDEN.to_owned() };
    address(text).unwrap_or_else(|| hint(text))
}

fn address(text: &str) -> Option<String> {
    let (name, host) = text.split_once('@')?;
    let (domain, last) = host.rsplit_once('.')?;
    let is_word = (2..=10).contains(&last.len()) && last.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_one = is_word && !name.is_empty() && !domain.is_empty() && !host.contains('@');
    is_one.then(|| format!("{}@{}.{last}", hint(name), hint(domain)))
}

/// The first letter of what has three or more, the second time as the first.
fn hint(text: &str) -> String {
    let first = text.chars().next().filter(|first| text.chars().nth(2).is_some() && !HIDDEN.contains(*first));
    first.map_or_else(|| HIDDEN.to_owned(), |first| format!("{first}{HIDDEN}"))
}

/// Which key it is, in 16 hexadecimal digits. A key is drawn from so many that nobody finds it by trying.
fn print(key: &hmac::Key) -> String {
    hmac::sign(key, PRINTED).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash => "hash",
            Self::Mask => "mask",
            Self::Encrypt => "encrypt",
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(hidden)")
    }
}
