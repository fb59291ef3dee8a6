//! Which of the owner's entities are wanted.

use cel::Value;
use serde_json::value::RawValue;

use super::expression::Expression;
use crate::event::{DecodeError, FieldPath, Reason, Wanted};

/// Which entities a replica keeps.
#[derive(Clone, Debug)]
pub enum Keep {
    /// Every one.
    All,
    /// Those that a document of the consumer refers to.
    Referenced,
    /// Those whose data meets a condition.
    Where(Condition),
}

impl Keep {
    /// Whether an event may create a record. Under `referenced` only a reference does, so that events of
    /// entities nobody wants leave nothing; under the others a deletion must be remembered even where there
    /// was no record, or an older event would bring the entity back.
    pub fn creates(&self) -> bool {
        !matches!(self, Self::Referenced)
    }

    /// The paths that decide whether an entity is kept.
    pub fn paths(&self) -> &[FieldPath] {
        match self {
            Self::All | Self::Referenced => &[],
            Self::Where(condition) => condition.expression.paths(),
        }
    }
}

/// A CEL expression over `data` that is true or false.
#[derive(Clone, Debug)]
pub struct Condition {
    expression: Expression,
    wanted: Wanted,
}

impl Condition {
    /// Compiles an expression; the error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        let expression = Expression::compile(text, &["data"])?;
        let mut wanted = Wanted::default();
        for path in expression.paths() {
            wanted.add(&path.split_first().map_or_else(|| path.clone(), |(_, tail)| tail));
        }
        Ok(Self { expression, wanted })
    }

    /// Asks the condition of an entity's data; anything but true or false is an error, and so is a value it reads
    /// that stands twice. What reads a field that is not there does not hold.
    pub fn holds(&self, data: Option<&RawValue>) -> Result<bool, DecodeError> {
        let refused = |why: String| DecodeError::new(Reason::BadCondition, why);
        let data = data.map_or("null", RawValue::get);
        self.wanted.extract(data)?;
        let json: serde_json::Value = serde_json::from_str(&self.wanted.only(data)?)
            .map_err(|error| DecodeError::new(Reason::NotJson, error.to_string()))?;
        let value = cel::to_value(&json)
            .map_err(|_| refused("the data has no form the condition can read".into()))?;
        match self.expression.evaluate([("data", value)]).map_err(refused)? {
            Some(Value::Bool(holds)) => Ok(holds),
            Some(_) => Err(refused(format!("`{}` is neither true nor false", self.expression.text()))),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, data: &str) -> Result<bool, Reason> {
        let raw: &RawValue = serde_json::from_str(data).unwrap();
        Condition::compile(condition).unwrap().holds(Some(raw)).map_err(|error| error.reason)
    }

    #[test]
    fn a_condition_is_asked_of_the_data() {
        assert_eq!(holds("data.country == 'DE'", r#"{"country": "DE"}"#), Ok(true));
        assert_eq!(holds("data.country == 'DE'", r#"{"country": "FR"}"#), Ok(false));
        assert_eq!(holds("data.country == 'DE'", "{}"), Ok(false), "a missing field does not meet it");
        assert_eq!(
            holds("data.age > 17 && data.roles.exists(r, r == 'x')", r#"{"age": 20, "roles": ["x"]}"#),
            Ok(true)
        );
        assert_eq!(holds("data.age", r#"{"age": 20}"#), Err(Reason::BadCondition));
    }

    /// An excerpt keeps these, so that an event that was put aside is judged later as it was.
    #[test]
    fn a_condition_says_what_it_reads() {
        let read = |condition: &str| -> Vec<String> {
            let keep = Keep::Where(Condition::compile(condition).unwrap());
            keep.paths().iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            read("data.a.b == 'x' && (has(data.c) || data['d.e'] > 1)"),
            ["data.a.b", "data.c", "data.d\\.e"]
        );
        assert_eq!(read("data.roles.exists(r, r.name in [data.name])"), ["data.roles", "data.name"]);
        assert_eq!(read("size(data) > 1"), ["data"]);
        assert_eq!(read("{'a': data.x}['a'] == 1"), ["data.x"]);
        assert_eq!(read("true"), [""; 0]);
    }

    #[test]
    fn only_what_it_reads_can_stand_in_its_way() {
        let deep = format!(r#"{{"country": "DE", "x": {}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(holds("data.country == 'DE'", &deep), Ok(true));
        let twice = r#"{"country": "DE", "country": "FR"}"#;
        assert_eq!(holds("data.country == 'DE'", twice), Err(Reason::DuplicateKey));
    }

    #[test]
    fn what_cannot_be_answered_is_refused_when_it_is_declared() {
        assert!(Condition::compile("data.country = 'DE'").is_err());
        assert!(Condition::compile("user.country == 'DE'").unwrap_err().contains("`user`"));
        assert!(Condition::compile("nobody(data.x) == 1").unwrap_err().contains("`nobody`"));
        assert!(Condition::compile("data.x.nobody('y')").unwrap_err().contains("`nobody`"));
        for known in [
            "size(data.x) > 1",
            "data.x.startsWith('y')",
            "data.x.matches('^y$')",
            "has(data.x)",
            "int(data.x) in [1]",
        ] {
            assert!(Condition::compile(known).is_ok(), "{known}");
        }
        assert!(Condition::compile(&"!".repeat(3_000)).is_err());
    }
}
