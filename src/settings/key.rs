//! Keys by which fields are protected: 32 bytes each, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice};

/// How many bytes a key has.
const LENGTH: usize = 32;
/// How many letters its name has at most, where it has one.
const LONGEST: usize = 32;

/// Keys by which fields are protected, where they are set.
#[derive(Clone, Debug, Default)]
pub struct Protect {
    /// By which fields are hashed.
    pub hash_key: Option<SecretSlice<u8>>,
    /// By which fields are encrypted, each with its name: the first is written with, all are read with.
    pub encrypt_keys: Vec<(String, SecretSlice<u8>)>,
}

/// Reads a key; or says what is wrong, without repeating any of it.
pub(super) fn one(text: &str) -> Result<SecretSlice<u8>, String> {
    let bytes = STANDARD.decode(text.trim()).map(SecretSlice::from);
    let key = bytes.ok().filter(|key| key.expose_secret().len() == LENGTH);
    let key = key.ok_or("must be 32 bytes in base64, as `openssl rand -base64 32` makes them")?;
    let is_drawn = key.expose_secret().iter().any(|byte| Some(byte) != key.expose_secret().first());
    if is_drawn { Ok(key) } else { Err("must be drawn at random, and is known to everybody".to_owned()) }
}

/// Reads all lines, a name and a key on each.
pub(super) fn named(text: &str) -> Result<Vec<(String, SecretSlice<u8>)>, String> {
    let mut keys: Vec<(String, SecretSlice<u8>)> = Vec::new();
    for (at, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let number = at + 1;
        let Some((name, key)) = line.split_once(char::is_whitespace).filter(|(name, _)| is_name(name)) else {
            return Err(format!(
                "must have lines of a name (letters, digits, `_` and `-`), a blank and a key; line {number} is none"
            ));
        };
        if keys.iter().any(|(known, _)| known == name) {
            return Err(format!(
                "must have a name of its own for each key; that of line {number} stands twice"
            ));
        }
        let key = one(key).map_err(|what| format!("{what}; that is about line {number}"))?;
        keys.push((name.to_owned(), key));
    }
    Ok(keys)
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_letter)
}
