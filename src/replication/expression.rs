//! CEL: what a manifest computes from an event, compiled once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, Env, ExecutionError, IdedExpr, Program, Value, extensions};
use uuid::Uuid;

use crate::event::FieldPath;

/// What every expression may call. To put it together costs more than to evaluate one.
static FUNCTIONS: LazyLock<Context<'static, 'static>> = LazyLock::new(|| {
    let mut known = Env::stdlib();
    // These, and ours, could only be declared already, and are not.
    let _declared = known.add_extension(extensions::strings);
    let mut functions = Context::with_env(Arc::new(known));
    let _declared = functions.add_function("uuid5", uuid5);
    functions
});

/// A CEL expression over some variables.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    program: Arc<Program>,
    paths: Arc<[FieldPath]>,
    is_path: bool,
}

impl Expression {
    /// The longest expression accepted, in bytes: CEL has no cost budget of its own.
    const LONGEST: usize = 2_000;

    /// Compiles an expression over these variables; the error says what is wrong with it.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, String> {
        if text.len() > Self::LONGEST {
            let (is, most) = (text.len(), Self::LONGEST);
            return Err(format!("the expression has {is} bytes, at most {most} are accepted"));
        }
        let program = Program::compile(text).map_err(|errors| errors.to_string())?;
        let mut context = FUNCTIONS.new_inner_scope();
        for name in variables {
            context.add_variable_from_value(*name, nothing());
        }
        if let Err(ExecutionError::UndeclaredReference(unknown)) = program.execute(&context) {
            let known = variables.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let verb = if variables.len() == 1 { "is" } else { "are" };
            return Err(format!("`{unknown}` is not known here, only {known} {verb}"));
        }
        if let Some(unknown) = program.references().functions().into_iter().find(|name| !is_known(name)) {
            return Err(format!("there is no function `{unknown}`"));
        }
        let mut paths = Vec::new();
        read_by(&program.expression().expr, variables, &mut paths);
        let whole = &program.expression().expr;
        let is_question = matches!(whole, Expr::Select(select) if select.test);
        let is_path = !is_question && names_of(whole, variables).is_some();
        Ok(Self { text: text.into(), program: Arc::new(program), paths: paths.into(), is_path })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The paths that it reads, each beginning with a variable; what is used as a whole is read as a whole.
    pub fn paths(&self) -> &[FieldPath] {
        &self.paths
    }

    /// The one path whose value it is, where it is nothing else.
    pub fn as_path(&self) -> Option<&FieldPath> {
        self.paths.first().filter(|_| self.is_path)
    }

    /// Evaluates it with the variables' values. `None` where it reads what is not there.
    pub fn evaluate<'v>(
        &self,
        variables: impl IntoIterator<Item = (&'v str, Value)>,
    ) -> Result<Option<Value>, String> {
        let mut context = FUNCTIONS.new_inner_scope();
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        match self.program.execute(&context) {
            Ok(value) => Ok(Some(value)),
            Err(ExecutionError::NoSuchKey(_)) => Ok(None),
            // Its own text may quote values.
            Err(_) => Err(format!("`{}` cannot be answered for this data", self.text)),
        }
    }
}

/// A name-based UUID, version 5, as text.
#[expect(clippy::needless_pass_by_value, reason = "CEL hands its functions what they then own")]
fn uuid5(namespace: Arc<String>, name: Arc<String>) -> Result<Value, ExecutionError> {
    let namespace = Uuid::parse_str(&namespace)
        .map_err(|_| ExecutionError::function_error("uuid5", "the namespace is no UUID"))?;
    Ok(Value::String(Arc::new(Uuid::new_v5(&namespace, name.as_bytes()).to_string())))
}

/// Whether a function is there. One that is not is noticed by a trial only where nothing else fails before it.
fn is_known(function: &str) -> bool {
    let is_operator = !function.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let tries = [format!("{function}()"), format!("''.{function}()")];
    is_operator
        || tries.iter().filter_map(|call| Program::compile(call).ok()).any(|call| {
            let tried = call.execute(&FUNCTIONS);
            !matches!(tried, Err(ExecutionError::UndeclaredReference(_)))
        })
}

/// Collects the paths that an expression reads; one that is used as a whole is wanted as a whole.
fn read_by(expression: &Expr, variables: &[&str], paths: &mut Vec<FieldPath>) {
    if let Some(names) = names_of(expression, variables) {
        let escape = |name: &String| name.replace('\\', "\\\\").replace('.', "\\.");
        let text = names.iter().map(escape).collect::<Vec<_>>().join(".");
        // A name that no path can have: then all of the variable is read.
        let path = FieldPath::parse(&text).or_else(|_| FieldPath::parse(&names[0]));
        paths.extend(path.ok().filter(|path| !paths.contains(path)));
        return;
    }
    let mut read = |part: &IdedExpr| read_by(&part.expr, variables, paths);
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

/// The names from a variable inwards, where an expression is nothing else: `data.a.b`, `data["a"]`, `has(data.a)`.
fn names_of(expression: &Expr, variables: &[&str]) -> Option<Vec<String>> {
    let (of, name) = match expression {
        Expr::Ident(name) => return variables.contains(&name.as_str()).then(|| vec![name.clone()]),
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
    let mut names = names_of(&of.expr, variables)?;
    names.push(name);
    Some(names)
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// An empty object.
fn nothing() -> Value {
    Value::Map(HashMap::<String, Value>::new().into())
}
