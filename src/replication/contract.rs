//! The gRPC services that a team declares in its own files, and how their methods are answered from replicas.
//!
//! Only what was checked gets here: each message has the field that is named, and each field can say what it is given.

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor};

use crate::event::FieldType;

/// The services that a team declares itself.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Its files, and all that they import.
    pub files: DescriptorPool,
    /// The methods that are answered; the others of their services are not.
    pub methods: Vec<ContractMethod>,
}

/// A method that is answered from a replica.
#[derive(Clone, Debug)]
pub struct ContractMethod {
    /// The method as it is declared.
    pub method: MethodDescriptor,
    /// The replica.
    pub from: String,
    /// What is asked for.
    pub asks: Asks,
    /// The field of the answer that holds what is told; without it, the answer itself is the entity.
    pub into: Option<FieldDescriptor>,
    /// What is told of an entity.
    pub says: Vec<Says>,
}

/// What a method asks for, each by its place in the request.
#[derive(Clone, Debug)]
pub enum Asks {
    /// The entity of this id.
    One(RequestPath),
    /// Those that meet conditions.
    Many {
        /// The conditions.
        conditions: Vec<ConditionAsked>,
        /// How many at once.
        size: Option<RequestPath>,
        /// Page by page, where the messages have room for it; else all at once.
        paging: Option<Paging>,
    },
}

/// Where a list says that it goes on.
#[derive(Clone, Debug)]
pub struct Paging {
    /// Where the request says from where.
    pub token: RequestPath,
    /// The field of the answer that says from where it goes on.
    pub next: FieldDescriptor,
}

/// A condition whose value comes with the request.
#[derive(Clone, Debug)]
pub struct ConditionAsked {
    /// The field and its comparison, as in `age.gte`.
    pub on: String,
    /// The type of that field.
    pub kind: FieldType,
    /// Where the value is. One that is not set is no condition.
    pub value: RequestPath,
}

/// A field in a request, or in a message within it: the fields from the outside in, never empty.
#[derive(Clone, Debug)]
pub struct RequestPath(pub Vec<FieldDescriptor>);

/// A field of a message, and what it says of an entity.
#[derive(Clone, Debug)]
pub struct Says {
    /// The field.
    pub field: FieldDescriptor,
    /// Where its value comes from.
    pub from: Origin,
    /// The message that a field of the type `google.protobuf.Any` holds; without it, `@type` is stored beside the
    /// value.
    pub any: Option<MessageDescriptor>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The entity's id.
    Id,
    /// Something that says how fresh the entity is, by the name under which readers are told it.
    Freshness(&'static str),
    /// A field of the replica, or what is inside of it by these names.
    Field(String, Vec<String>),
}

impl Contract {
    /// The names of the services, each once.
    pub fn services(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.methods.iter().map(ContractMethod::service).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl ContractMethod {
    /// The service it belongs to.
    pub fn service(&self) -> &str {
        // A method's full name is its service's, a dot, and its own.
        let whole = self.method.full_name();
        whole.rsplit_once('.').map_or(whole, |(service, _)| service)
    }
}

impl std::fmt::Display for RequestPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(FieldDescriptor::name).collect();
        f.write_str(&names.join("."))
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id => f.write_str("_id"),
            Self::Freshness(name) => write!(f, "_{name}"),
            Self::Field(name, inside) => {
                f.write_str(name)?;
                inside.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}
