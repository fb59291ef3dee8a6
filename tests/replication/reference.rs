//! Where references stand in documents.

use bson::{Bson, doc};
use nearcopy::replication::RefPath;

#[test]
fn a_path_knows_its_arrays_and_its_leaf() {
    let cases: [(&str, &[&str], &str, &str); 4] = [
        ("userId", &[], "userId", "userId"),
        ("owner.id", &[], "owner.id", "owner.id"),
        ("contributors[].userId", &["contributors"], "userId", "contributors.userId"),
        ("a.b[].c[].d.e", &["a.b", "c"], "d.e", "a.b.c.d.e"),
    ];
    for (text, arrays, leaf, dotted) in cases {
        let path = RefPath::parse(text).unwrap();
        assert_eq!(path.arrays(), arrays, "{text}");
        assert_eq!((path.leaf(), path.dotted().as_str()), (leaf, dotted));
    }
}

#[test]
fn what_is_no_path_of_a_reference_is_refused() {
    for text in
        ["", ".", "a.", ".a", "a..b", "[]", "[].a", "a[]", "a[][].b", "a[0].b", "a]", "$a", "a.$b", "a\0b"]
    {
        assert!(RefPath::parse(text).is_err(), "{text:?}");
    }
}

/// N8: every occurrence is found, and what is missing, null, or no object is passed by.
#[test]
fn every_reference_of_a_document_is_found() {
    let document = doc! {
        "userId": "u1",
        "owner": { "id": 7_i64 },
        "none": Bson::Null,
        "contributors": [{ "userId": "u2" }, {}, { "userId": Bson::Null }, "no object", { "userId": "u2" }],
        "sections": [
            { "authors": [{ "userId": "u3" }, { "userId": "u4" }] },
            { "authors": "no array" },
            {},
            { "authors": [{ "userId": 5 }] },
        ],
    };
    let find = |path: &str| -> Vec<Bson> {
        RefPath::parse(path).unwrap().find(&document).into_iter().cloned().collect()
    };
    let texts = |texts: &[&str]| -> Vec<Bson> { texts.iter().map(|text| Bson::from(*text)).collect() };
    assert_eq!(find("userId"), texts(&["u1"]));
    assert_eq!(find("owner.id"), [Bson::Int64(7)]);
    assert_eq!(find("contributors[].userId"), texts(&["u2", "u2"]));
    assert_eq!(
        find("sections[].authors[].userId"),
        [Bson::from("u3"), Bson::from("u4"), Bson::Int32(5)],
        "a reference of another type is found, too: somebody must be told"
    );
    for path in ["none", "missing", "owner.id.deeper", "userId[].x", "contributors.userId"] {
        assert_eq!(find(path), [], "{path}");
    }
}
