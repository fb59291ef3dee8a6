//! Which of the owner's entities are wanted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, IdedExpr, Program, Value};
use serde_json::value::RawValue;

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
            Self::Where(condition) => &condition.paths,
        }
    }
}

/// A CEL expression over `data`, compiled once.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    program: Arc<Program>,
    paths: Arc<[FieldPath]>,
    wanted: Wanted,
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
        if let Some(unknown) = program.references().functions().into_iter().find(|name| !is_known(name)) {
            return Err(format!("there is no function `{unknown}`"));
        }
        let (mut paths, mut wanted) = (Vec::new(), Wanted::default());
        read_by(&program.expression().expr, &mut paths);
        for path in &paths {
            wanted.add(&path.split_first().map_or_else(|| path.clone(), |(_, tail)| tail));
        }
        Ok(Self { text: text.into(), program: Arc::new(program), paths: paths.into(), wanted })
    }

    /// Asks the condition of an entity's data; anything but true or false is an error, and so is a value it reads
    /// that stands twice.
    pub fn holds(&self, data: Option<&RawValue>) -> Result<bool, DecodeError> {
        let refused = |why: String| DecodeError::new(Reason::BadCondition, why);
        let data = data.map_or("null", RawValue::get);
        self.wanted.extract(data)?;
        let json: serde_json::Value = serde_json::from_str(&self.wanted.only(data)?)
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

/// Whether a function is there. One that is not is noticed by a trial only where nothing else fails before it.
fn is_known(function: &str) -> bool {
    let is_operator = !function.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let tries = [format!("{function}()"), format!("''.{function}()")];
    is_operator
        || tries.iter().filter_map(|call| Program::compile(call).ok()).any(|call| {
            let tried = call.execute(&Context::default());
            !matches!(tried, Err(cel::ExecutionError::UndeclaredReference(_)))
        })
}

/// Collects the paths that an expression reads; one that is used as a whole is wanted as a whole.
fn read_by(expression: &Expr, paths: &mut Vec<FieldPath>) {
    if let Some(names) = names(expression) {
        let escape = |name: &String| name.replace('\\', "\\\\").replace('.', "\\.");
        let text = names.iter().map(escape).collect::<Vec<_>>().join(".");
        // A name that no path can have: then all of `data` is read.
        let path = FieldPath::parse(&text).or_else(|_| FieldPath::parse("data"));
        paths.extend(path.ok().filter(|path| !paths.contains(path)));
        return;
    }
    let mut read = |part: &IdedExpr| read_by(&part.expr, paths);
    match expression {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(&mut read),
        Expr::Comprehension(all) => {
            [&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result]
                .into_iter()
                .for_each(read);
        }
        Expr::List(list) => list.elements.iter().for_each(&mut read),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_reads(&entry.expr, &mut read)),
        Expr::Struct(of) => of.entries.iter().for_each(|entry| entry_reads(&entry.expr, &mut read)),
        Expr::Select(select) => read(&select.operand),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

fn entry_reads(entry: &EntryExpr, read: &mut impl FnMut(&IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => read(&field.value),
        EntryExpr::MapEntry(entry) => {
            read(&entry.key);
            read(&entry.value);
        }
    }
}

/// The names from `data` inwards, where an expression is nothing else: `data.a.b`, `data["a"]`, `has(data.a)`.
fn names(expression: &Expr) -> Option<Vec<String>> {
    let (of, name) = match expression {
        Expr::Ident(name) => return (name == "data").then(|| vec![name.clone()]),
        Expr::Select(select) => (&*select.operand, select.field.clone()),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [of, index] => match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => (of, name.inner().to_owned()),
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    let mut names = names(&of.expr)?;
    names.push(name);
    Some(names)
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
