//! Values that are not kept in clear: what can be told of them, and what cannot.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bson::{Bson, bson};
use nearcopy::event::{EntityId, EntityType, Guard, Keys, Plain, Protection};
use proptest::prelude::*;

use crate::declared::id;

/// A guard of `users` by keys that are made of these numbers; the first of them is written with.
fn guard(hash: u8, encrypt: &[u8]) -> Guard {
    guard_of("users", hash, encrypt)
}

fn guard_of(replica: &str, hash: u8, encrypt: &[u8]) -> Guard {
    let mut keys = Keys::default().hashing(&[hash; Keys::LENGTH]);
    for key in encrypt {
        keys = keys.encrypting(&format!("k{key}"), &[*key; Keys::LENGTH]).unwrap();
    }
    Guard::new(EntityType::new(replica), Arc::new(keys))
}

fn kept(guard: &Guard, how: Protection, field: &str, of: &EntityId, value: impl Into<Bson>) -> String {
    let kept = guard.protect(how, field, of, &value.into()).unwrap();
    kept.as_str().unwrap().to_owned()
}

fn hash(field: &str, value: impl Into<Bson>) -> String {
    kept(&guard(1, &[]), Protection::Hash, field, &id("42"), value)
}

fn encrypted(field: &str, of: &str, value: impl Into<Bson>) -> String {
    kept(&guard(1, &[1]), Protection::Encrypt, field, &id(of), value)
}

fn masked(value: impl Into<Bson>) -> String {
    kept(&guard(1, &[]), Protection::Mask, "email", &id("42"), value)
}

/// What the owner may say of a field.
fn value() -> impl Strategy<Value = Bson> {
    prop_oneof![
        "[ -~]{8,40}".prop_map(Bson::from),
        "[a-z]{5,9}@[a-z]{5,9}\\.org".prop_map(Bson::from),
        (100_000_000_i64..i64::MAX).prop_map(Bson::from),
        any::<bool>().prop_map(Bson::from),
        "[a-z]{8,12}".prop_map(|text| bson!({ "street": text, "number": 7_i64 })),
    ]
}

proptest! {
    /// S14: the same value is kept in the same way, whatever it is; nothing of it is readable; and with the key, what is
    /// encrypted is what it was.
    #[test]
    fn what_is_kept_is_the_same_each_time_and_says_nothing(value in value(), of in "[a-z0-9]{1,8}") {
        let (of, plain) = (id(&of), serde_json::to_value(Plain(&value)).unwrap());
        let said = plain.as_str().map_or_else(|| plain.to_string(), str::to_owned);
        for how in [Protection::Hash, Protection::Mask, Protection::Encrypt] {
            let one = kept(&guard(1, &[1]), how, "email", &of, value.clone());
            prop_assert_eq!(&one, &kept(&guard(1, &[1]), how, "email", &of, value.clone()));
            prop_assert!(!one.contains(&said), "{} of {}: {}", how, said, one);
        }
        let cipher = guard(1, &[1]).protect(Protection::Encrypt, "email", &of, &value).unwrap();
        prop_assert_eq!(guard(1, &[1]).reveal("email", &of, &cipher), Some(plain));
    }

    /// S14: what is equal can be told by a hash, and nothing else: not by another field's, and not by another key's.
    #[test]
    fn hashes_are_equal_where_values_fields_and_keys_are(one in value(), other in value()) {
        let at = |field: &str, value: &Bson| hash(field, value.clone());
        prop_assert_eq!(at("email", &one) == at("email", &other), one == other);
        prop_assert_ne!(at("email", &one), at("phone", &one));
        let by_another = kept(&guard(2, &[]), Protection::Hash, "email", &id("42"), one.clone());
        prop_assert_ne!(at("email", &one), by_another);
    }
}

/// What is equal is one hash, though owners write it in several ways; a number is no text.
#[test]
fn equal_values_have_one_hash_whatever_they_are_written_as() {
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    assert_eq!(hash("age", 5_i64), hash("age", 5.0));
    assert_eq!(hash("age", 0_i64), hash("age", -0.0));
    for (one, other) in [("1.50", "1.5"), ("1E+3", "1000"), ("-0.00", "0"), ("0.10", "1E-1")] {
        assert_eq!(hash("price", decimal(one)), hash("price", decimal(other)), "{one} and {other}");
    }
    for (one, other) in [("1.5", "15"), ("-1.5", "1.5"), ("1E+3", "1E+2"), ("10", "1")] {
        assert_ne!(hash("price", decimal(one)), hash("price", decimal(other)), "{one} and {other}");
    }
    assert_ne!(hash("age", 5_i64), hash("age", "5"));
    assert_ne!(hash("age", true), hash("age", "true"));
}

/// Other programs compute it, so its form stays.
#[test]
fn a_hash_has_the_form_that_is_documented() {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[1; Keys::LENGTH]);
    let signed = |parts: [&str; 3]| {
        let tag = ring::hmac::sign(&key, parts.join("\0").as_bytes());
        format!("h1:{}", URL_SAFE_NO_PAD.encode(tag))
    };
    assert_eq!(hash("email", "ada@example.org"), signed(["email", "string", "ada@example.org"]));
    assert_eq!(hash("age", 36_i64), signed(["age", "int", "36"]));
    assert_eq!(hash("size", 1.5), signed(["size", "double", "1.5"]));
    assert_eq!(hash("paid", true), signed(["paid", "bool", "true"]));
    let born = Bson::DateTime(bson::DateTime::from_millis(1_767_225_600_000));
    assert_eq!(hash("born", born), signed(["born", "date", "2026-01-01T00:00:00Z"]));
    let price = Bson::Decimal128("12.50".parse().unwrap());
    assert_eq!(hash("price", price), signed(["price", "decimal", "125E-1"]));
    let home = bson!({ "street": "Dorset Street", "city": null });
    assert_eq!(hash("home", home), signed(["home", "object", r#"{"city":null,"street":"Dorset Street"}"#]));
}

/// What the README shows was made by these keys, and still would be.
#[test]
fn the_readme_shows_what_is_kept() {
    let bytes = |text: &str| STANDARD.decode(text).unwrap();
    let keys = Keys::default().hashing(&bytes("zJ/WG58Gf1GTHlvTN8TzsEXKzsng2W00kvVO10t/uxA="));
    let keys = keys.encrypting("2026a", &bytes("UijHr2tK8j5K34815Htl+Gqst3cckfggCxSwwBKd4Jk=")).unwrap();
    let guard = Guard::new(EntityType::new("users"), Arc::new(keys));
    let shown = [
        ("email", kept(&guard, Protection::Hash, "email", &id("42"), "ada@example.org")),
        ("phone", kept(&guard, Protection::Encrypt, "phone", &id("42"), "+44 20 7946 0018")),
        ("street", kept(&guard, Protection::Mask, "street", &id("42"), "Dorset Street")),
    ];
    for (field, kept) in shown {
        assert!(include_str!("../../README.md").contains(&format!("{field}: \"{kept}\"")), "{field}: {kept}");
    }
}

/// A null says nothing, and is told as that.
#[test]
fn null_stays_null() {
    for how in [Protection::Hash, Protection::Mask, Protection::Encrypt] {
        assert_eq!(guard(1, &[1]).protect(how, "email", &id("42"), &Bson::Null), Some(Bson::Null));
    }
}

#[test]
fn a_mask_leaves_what_is_documented() {
    for (text, left) in [
        ("ada@example.org", "a•••@e•••.org"),
        ("ada.lovelace@mail.example.co", "a•••@m•••.co"),
        ("ab@cd.org", "•••@•••.org"),
        ("ada@example.verylongsecret", "a•••"),
        ("ada@localhost", "a•••"),
        ("a@b@c.org", "a•••"),
        ("Lovelace", "L•••"),
        ("Żaneta", "Ż•••"),
        ("Al", "•••"),
        ("", "•••"),
        ("•••", "•••"),
        ("a•••@e•••.org", "a•••@e•••.org"),
    ] {
        assert_eq!(masked(text), left, "{text}");
    }
    assert_eq!(masked(1_815_i64), "•••");
    assert_eq!(masked(bson!(["ada"])), "•••");
}

/// S14: a ciphertext that is carried elsewhere, or changed by a letter, opens nowhere.
#[test]
fn a_ciphertext_belongs_to_its_place() {
    let cipher = encrypted("email", "42", "ada@example.org");
    let opened =
        |guard: &Guard, field: &str, of: &str, text: &str| guard.reveal(field, &id(of), &Bson::from(text));
    let guard = guard(1, &[1]);
    assert_eq!(opened(&guard, "email", "42", &cipher).unwrap(), "ada@example.org");
    assert_eq!(opened(&guard, "phone", "42", &cipher), None);
    assert_eq!(opened(&guard, "email", "43", &cipher), None);
    assert_eq!(opened(&guard_of("others", 1, &[1]), "email", "42", &cipher), None);
    assert_eq!(opened(&guard_of("users", 1, &[2]), "email", "42", &cipher), None);
    for at in (0..cipher.len()).filter(|at| cipher.as_bytes()[*at] != b':') {
        let mut changed = cipher.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(opened(&guard, "email", "42", &changed), None, "{at}: {changed}");
    }
    assert_eq!(opened(&guard, "email", "42", "e1:k1:"), None);
    assert_eq!(opened(&guard, "email", "42", "ada@example.org"), None);
}

/// Two entities with one value cannot be told to have it, and a value that changes and comes back is told again.
#[test]
fn a_ciphertext_is_another_for_each_entity_and_field() {
    let all = [
        encrypted("email", "42", "ada@example.org"),
        encrypted("email", "43", "ada@example.org"),
        encrypted("mail", "42", "ada@example.org"),
        encrypted("email", "42", "ada@example.com"),
        kept(&guard_of("others", 1, &[1]), Protection::Encrypt, "email", &id("42"), "ada@example.org"),
    ];
    let nonces: std::collections::BTreeSet<&str> =
        all.iter().map(|text| &text["e1:k1:".len()..][..16]).collect();
    assert_eq!(nonces.len(), all.len(), "{all:?}");
}

/// S15: the first key is written with, and the others are read with for as long as they are there.
#[test]
fn keys_can_be_rotated() {
    let (old, both, new) = (guard(1, &[1]), guard(1, &[2, 1]), guard(1, &[2]));
    let by_old = old.protect(Protection::Encrypt, "email", &id("42"), &"ada".into()).unwrap();
    let by_new = both.protect(Protection::Encrypt, "email", &id("42"), &"ada".into()).unwrap();
    assert!(by_old.as_str().unwrap().starts_with("e1:k1:") && by_new.as_str().unwrap().starts_with("e1:k2:"));
    for cipher in [&by_old, &by_new] {
        assert_eq!(both.reveal("email", &id("42"), cipher).unwrap(), "ada");
    }
    assert_eq!(new.reveal("email", &id("42"), &by_old), None);
    assert_eq!(new.reveal("email", &id("42"), &by_new).unwrap(), "ada");
}

/// S15: nothing is kept by a key that is not there.
#[test]
fn without_a_key_nothing_is_kept() {
    let none = Guard::new(EntityType::new("users"), Arc::new(Keys::default()));
    for how in [Protection::Hash, Protection::Encrypt] {
        assert_eq!(none.protect(how, "email", &id("42"), &"ada".into()), None);
    }
    assert!(Keys::default().encrypting("short", &[1; 31]).is_none());
}

/// S10: whatever is shown of keys, nothing of them is.
#[test]
fn keys_are_shown_nowhere() {
    let secret = b"tr0ub4dor-tr0ub4dor-tr0ub4dor-32";
    let keys = Keys::default().hashing(secret).encrypting("k1", secret).unwrap();
    let prints = [Protection::Hash, Protection::Encrypt].map(|how| keys.print(how));
    let keys = Arc::new(keys);
    let shown = format!("{keys:?} {:?}", Guard::new(EntityType::new("users"), keys.clone()));
    assert!(!shown.contains("tr0ub4dor") && !shown.contains("116, 114"), "{shown}");
    assert!(prints[0].starts_with("hash by ") && prints[1].starts_with("encrypt by k1/"), "{prints:?}");
    assert!(prints.iter().all(|print| print.len() < 40), "{prints:?}");
}
