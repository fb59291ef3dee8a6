//! The words of an enum as they are stored: `FOO_STATUS_IN_PROGRESS` is also `in_progress`, `inProgress`, or its number.
//!
//! What is told as a word is found by it: both go by the same spellings.

use prost_reflect::{EnumDescriptor, EnumValueDescriptor};

use crate::event::FieldType;

/// The word that a text spells.
pub(super) fn of_text(words: &EnumDescriptor, text: &str) -> Option<EnumValueDescriptor> {
    let exact = words.get_value_by_name(text);
    exact.or_else(|| words.values().find(|word| spellings(word).iter().any(|spelling| spelling == text)))
}

/// The values by which a word is asked for, in a field that is stored as this type.
pub(super) fn asked(word: &EnumValueDescriptor, stored: FieldType) -> Vec<String> {
    let number = word.number().to_string();
    match stored {
        FieldType::Int => vec![number],
        FieldType::Any => spellings(word).into_iter().chain([number]).collect(),
        _ => spellings(word),
    }
}

/// Whether a word only says that nothing is said.
pub(super) fn says_nothing(word: &EnumValueDescriptor) -> bool {
    word.number() == 0 && word.name().ends_with("UNSPECIFIED")
}

/// All ways to write a word, each once.
fn spellings(word: &EnumValueDescriptor) -> Vec<String> {
    let whole = word.name();
    let short = whole.strip_prefix(prefix(word.parent_enum()).as_str()).unwrap_or(whole);
    let camel = camel(short);
    let pascal = capital(&camel);
    let mut all = Vec::new();
    for spelling in [
        whole.to_owned(),
        short.to_owned(),
        whole.to_lowercase(),
        short.to_lowercase(),
        whole.to_uppercase(),
        short.to_uppercase(),
        camel,
        pascal,
    ] {
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    all
}

/// What all words of an enum begin with: its own name, as the style guide has it, or whatever they share.
fn prefix(words: &EnumDescriptor) -> String {
    let own = format!("{}_", snake(words.name()).to_uppercase());
    if words.values().all(|word| word.name().starts_with(&own) && word.name() != own) {
        return own;
    }
    let mut names = words.values().map(|word| word.name().to_owned());
    let first = names.next().unwrap_or_default();
    let shared = names.fold(None, |shared: Option<String>, name| {
        let before = shared.as_deref().unwrap_or(&first);
        let same = before.chars().zip(name.chars()).take_while(|(a, b)| a == b);
        Some(same.map(|(letter, _)| letter).collect())
    });
    let shared = shared.unwrap_or_default();
    shared.rfind('_').map(|end| shared[..=end].to_owned()).unwrap_or_default()
}

/// `FooStatus` as `Foo_Status`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut before = '_';
    for letter in name.chars() {
        if letter.is_uppercase() && (before.is_lowercase() || before.is_numeric()) {
            snake.push('_');
        }
        snake.push(letter);
        before = letter;
    }
    snake
}

/// `IN_PROGRESS` as `inProgress`.
fn camel(name: &str) -> String {
    let mut parts = name.split('_').filter(|part| !part.is_empty()).map(str::to_lowercase);
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |camel, part| camel + &capital(&part))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
