//! Which of the owner's entities are wanted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::{Context, Program, Value};
use serde_json::value::RawValue;

use crate::event::{DecodeError, Reason};

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
}

/// A CEL expression over `data`, compiled once.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    program: Arc<Program>,
}

impl Condition {
    /// The longest expression accepted, in bytes: CEL has no cost budget of its own.
    const LONGEST: usize = 2_000;

    /// Compiles an expression; the error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        if text.len() > Self::LONGEST {
            return Err(format!(
                "the expression has {} bytes, at most {} are accepted",
                text.len(),
                Self::LONGEST
            ));
        }
        let program = Program::compile(text).map_err(|errors| errors.to_string())?;
        let mut context = Context::default();
        context.add_variable_from_value("data", Value::Map(HashMap::<String, Value>::new().into()));
        if let Err(cel::ExecutionError::UndeclaredReference(unknown)) = program.execute(&context) {
            return Err(format!("`{unknown}` is not known here, only `data` is"));
        }
        Ok(Self { text: text.into(), program: Arc::new(program) })
    }

    /// Asks the condition of an entity's data; anything but true or false is an error.
    pub fn holds(&self, data: Option<&RawValue>) -> Result<bool, DecodeError> {
        let refused = |why: String| DecodeError::new(Reason::BadCondition, why);
        let json: serde_json::Value = serde_json::from_str(data.map_or("null", RawValue::get))
            .map_err(|error| DecodeError::new(Reason::NotJson, error.to_string()))?;
        let value = cel::to_value(&json)
            .map_err(|_| refused("the data has no form the condition can read".into()))?;
        let mut context = Context::default();
        context.add_variable_from_value("data", value);
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(refused(format!("`{}` is neither true nor false", self.text))),
            Err(cel::ExecutionError::NoSuchKey(_)) => Ok(false),
            Err(_) => Err(refused(format!("`{}` cannot be answered for this data", self.text))),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
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

    #[test]
    fn what_cannot_be_answered_is_refused_when_it_is_declared() {
        assert!(Condition::compile("data.country = 'DE'").is_err());
        assert!(Condition::compile("user.country == 'DE'").unwrap_err().contains("`user`"));
        assert!(Condition::compile(&"!".repeat(3_000)).is_err());
    }
}
