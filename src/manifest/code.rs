//! The stable name of each kind of mistake.

use std::fmt;

macro_rules! codes {
    ($(#[doc = $summary:literal] $name:ident = $code:literal,)*) => {
        /// What kind of mistake a diagnostic speaks of; its text never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $summary] $name,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is printed.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary.trim_ascii(),)* }
            }
        }
    };
}

codes! {
    /// A file or a folder cannot be read.
    Unreadable = "N001",
    /// There is no manifest at the given place.
    NoManifest = "N002",
    /// A file is larger than a manifest may be.
    TooLarge = "N003",
    /// A file is not UTF-8 text.
    NotText = "N004",

    /// The text is not YAML.
    NotYaml = "N101",
    /// A key stands twice in one mapping.
    DuplicateKey = "N102",
    /// A file holds more than one YAML document.
    SecondDocument = "N103",
    /// Values are nested deeper than a manifest may be.
    TooDeep = "N104",
    /// The manifest, its aliases resolved, has more values than it may have.
    TooMuch = "N105",
    /// An alias leads nowhere, or to a value that contains it.
    BadAlias = "N106",
    /// A value has a YAML tag.
    Tag = "N107",
    /// A key is something else than text.
    BadKey = "N108",
    /// A file declares nothing.
    Empty = "N109",
    /// A number is out of the range that can be kept exactly.
    BadNumber = "N110",
    /// An environment variable is not set and has no default.
    UnsetVariable = "N111",
    /// A `${…}` is not written as it must be.
    BadVariable = "N112",

    /// A key is not one of those known at its place.
    UnknownKey = "N201",
    /// A key that must be there is not.
    MissingKey = "N202",
    /// A value is of another kind than wanted.
    WrongType = "N203",
    /// A word is none of those known at its place.
    UnknownWord = "N204",
    /// A number is too small or too large.
    OutOfRange = "N205",
    /// A word is reserved for something that does not exist yet.
    Reserved = "N206",
    /// Two keys stand together that exclude each other, or neither is there.
    OneOf = "N207",
    /// A list, a mapping or a text is empty that must not be.
    EmptyValue = "N208",

    /// A path is not written as it must be.
    BadPath = "N301",
    /// A path begins with something that an event does not have, or an owner's answer.
    BadRoot = "N302",
    /// A text is no duration, or one out of range.
    BadDuration = "N303",
    /// A text is no size, or one out of range.
    BadSize = "N304",
    /// A URL is not written as it must be.
    BadUrl = "N305",
    /// A condition is no valid CEL expression over `data`.
    BadCondition = "N306",
    /// A name cannot be used for what it names.
    BadName = "N307",
    /// A reference or a target in the consumer's documents is not written as it must be.
    BadTarget = "N308",
    /// A name of RabbitMQ's, or a binding key, cannot be one.
    BadQueue = "N309",
    /// A default is not of its field's type.
    BadDefault = "N310",
    /// A `.proto` file does not compile.
    BadProto = "N311",
    /// A value of a read model is no valid CEL expression over `data` and `event`.
    BadExpression = "N312",

    /// The same name is declared in two files.
    DeclaredTwice = "N401",
    /// A name leads nowhere.
    UnknownName = "N402",
    /// Two sources read the same queue.
    SharedQueue = "N403",
    /// A declaration has no effect.
    NoEffect = "N404",
    /// Something needs `fetch`, and the replica has none.
    NeedsFetch = "N405",
    /// Nothing says which entities a replica keeps.
    NeverKept = "N406",
    /// Two targets overlap, or a target overlaps a reference.
    Overlap = "N407",
    /// An embed points at a place that belongs to nearcopy or to MongoDB.
    Forbidden = "N408",
    /// Two versions are of different kinds, and could not be compared.
    MixedVersions = "N409",
    /// An embed deletes documents for one of several references in them.
    DeleteInArray = "N410",
    /// A partial event, or the answer that completes it, has no version.
    UnversionedPatch = "N411",
    /// A method of a gRPC service cannot be served.
    BadMethod = "N412",
    /// A field of a message cannot hold what is put into it or asked of it.
    BadFit = "N413",
    /// An effect of a read model says nothing, or what contradicts itself.
    BadEffect = "N414",
    /// A collection that is followed would be changed by what follows from its changes.
    Circle = "N415",
    /// A protected field would be kept in clear elsewhere.
    InClear = "N416",

    /// A part of a test does not fit the manifest that it tests.
    Unfit = "N501",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_own_and_they_stand_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
    }
}
