//! What names say: which entity, whether it is a deletion, whether it is personal.

/// Words of deletions.
const GONE: [&str; 14] = [
    "deleted",
    "delete",
    "deletion",
    "removed",
    "remove",
    "destroyed",
    "destroy",
    "erased",
    "erase",
    "purged",
    "purge",
    "dropped",
    "terminated",
    "tombstone",
];
/// Words that begin a name turned round, such as `com.acme.user.updated`.
const DOMAINS: [&str; 10] = ["com", "org", "net", "io", "de", "eu", "dev", "app", "uk", "fr"];
/// Parts of names that belong to persons. A draft leaves them out: whoever needs one takes it in.
const PERSONAL: [&str; 34] = [
    "email",
    "mail",
    "phone",
    "mobile",
    "fax",
    "firstname",
    "lastname",
    "fullname",
    "surname",
    "familyname",
    "givenname",
    "middlename",
    "maidenname",
    "birth",
    "dob",
    "street",
    "address",
    "zip",
    "postal",
    "postcode",
    "iban",
    "bic",
    "ssn",
    "taxid",
    "passport",
    "gender",
    "religion",
    "nationality",
    "ipaddress",
    "latitude",
    "longitude",
    "salary",
    "creditcard",
    "avatar",
];
/// Parts of names of secrets.
const SECRET: [&str; 8] =
    ["password", "passwd", "secret", "token", "apikey", "credential", "privatekey", "passphrase"];

/// The words of a name, in lower case: `UserNameChanged`, `user.name-changed` and `user_name_changed` have the same.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    let mut before_is_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            inside = false;
            continue;
        }
        if !inside || (letter.is_uppercase() && before_is_lower) {
            words.push(String::new());
        }
        inside = true;
        before_is_lower = letter.is_lowercase() || letter.is_numeric();
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// A name without what one writes in one way and another in another: `user_id`, `userId`.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a type of event says that something is gone.
pub(super) fn is_gone(kind: &str) -> bool {
    words(kind).iter().any(|word| GONE.contains(&word.as_str()))
}

/// Whether a field looks like a person's.
pub(in crate::cli) fn is_personal(path: &[String]) -> bool {
    path.iter().any(|name| {
        let (name, whole) = (folded(name), words(name));
        PERSONAL
            .iter()
            .any(|part| name == *part || whole.iter().any(|word| word == part) || name.ends_with(part))
            || (name.starts_with("birth") || name == "ip" || name == "name" && path.len() > 1)
    })
}

/// Whether a field looks like a secret.
pub(super) fn is_secret(path: &[String]) -> bool {
    path.iter().any(|name| SECRET.iter().any(|part| folded(name).contains(part)))
}

/// The parts of a type between dots and the like, without a domain before and a version behind.
fn parts(kind: &str) -> Vec<&str> {
    let mut parts: Vec<&str> =
        kind.split(['.', ':', '/', '-', '_']).filter(|part| !part.is_empty()).collect();
    let is_version = |part: &&str| {
        let digits = part.trim_start_matches(['v', 'V']);
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    while parts.len() > 1 && parts.last().is_some_and(is_version) {
        parts.pop();
    }
    if parts.len() > 2 && DOMAINS.contains(&parts[0]) {
        parts.drain(..2);
    }
    parts
}

/// The entity that a type of event is about: `user` of `user.updated`, `UserUpdated` and `com.acme.user.updated.v1`.
pub(super) fn entity(kind: &str) -> Option<String> {
    let parts = parts(kind);
    let (last, before) = parts.split_last()?;
    let within = words(last);
    match (within.as_slice(), before.last()) {
        ([first, _, ..], _) => Some(first.clone()),
        (_, Some(part)) => words(part).pop(),
        (_, None) => None,
    }
}

/// A binding that lets through all that is about the same as this type, where types are written like routing keys.
pub(super) fn binding(kind: &str) -> Option<String> {
    let is_plain = kind.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
    let version = parts(kind).last().and_then(|last| kind.rfind(last)).unwrap_or_default();
    let (before, _) = kind.get(..version)?.rsplit_once('.')?;
    is_plain.then(|| format!("{before}.#"))
}

/// The name of a collection of such entities.
pub(super) fn plural(entity: &str) -> String {
    let ends = |ends: &[&str]| ends.iter().any(|end| entity.ends_with(end));
    match entity.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if ends(&["s"]) && !ends(&["ss", "us"]) => entity.to_owned(),
        _ if ends(&["s", "x", "ch", "sh"]) => format!("{entity}es"),
        _ => format!("{entity}s"),
    }
}

/// A name for something in a manifest, made of any text.
pub(super) fn slug(text: &str) -> String {
    words(text).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_which_entity_it_is_about() {
        for (kind, expected) in [
            ("user.updated", Some("user")),
            ("UserUpdated", Some("user")),
            ("user_updated", Some("user")),
            ("com.acme.user.updated.v1", Some("user")),
            ("com.acme.UserUpdated", Some("user")),
            ("shop.order-line.removed", Some("line")),
            ("updated", None),
            ("", None),
        ] {
            assert_eq!(entity(kind).as_deref(), expected, "{kind}");
        }
    }

    #[test]
    fn a_binding_is_guessed_only_from_types_that_look_like_keys() {
        assert_eq!(binding("user.updated").as_deref(), Some("user.#"));
        assert_eq!(binding("com.acme.user.updated.v1").as_deref(), Some("com.acme.user.#"));
        assert_eq!(binding("UserUpdated"), None);
        assert_eq!(binding("user updated"), None);
    }

    #[test]
    fn what_is_a_persons_is_known_by_its_name() {
        let path = |text: &str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
        for personal in ["email", "workEmail", "first_name", "address.city", "dateOfBirth", "contact.name"] {
            assert!(is_personal(&path(personal)), "{personal}");
        }
        for plain in ["username", "status", "name", "mailing", "zipped", "total", "country"] {
            assert!(!is_personal(&path(plain)), "{plain}");
        }
        assert!(is_secret(&path("passwordHash")) && is_secret(&path("api_key")) && !is_secret(&path("key")));
        assert!(is_gone("user.removed") && is_gone("UserDeleted") && !is_gone("user.undeletable"));
    }

    #[test]
    fn one_is_many_in_the_end() {
        for (one, many) in [
            ("user", "users"),
            ("city", "cities"),
            ("box", "boxes"),
            ("day", "days"),
            ("news", "news"),
            ("bus", "buses"),
        ] {
            assert_eq!(plural(one), many);
        }
    }
}
