//! A team's own gRPC methods: understood, or answered with everything that is wrong with them.

use std::path::PathBuf;

use nearcopy::manifest::{self, Diagnostics};
use nearcopy::replication::{Asks, Contract, ContractMethod, Declaration};

use super::unreadable::{Dice, mutate};
use super::{codes, manifests, name_of, root};

const FOLDER: &str = "tests/manifest/contract";

/// The diagnostics as a person sees them who works in the folder of the manifest.
fn told(diagnostics: &Diagnostics) -> String {
    let folder = root().join(FOLDER).display().to_string();
    diagnostics.to_string().replace(&format!("{folder}/"), "").replace(&folder, "…")
}

#[test]
fn every_mistake_about_a_method_is_answered_with_what_where_why_and_what_to_do() {
    let paths = manifests(FOLDER);
    assert!(paths.len() >= 30, "only {} bad manifests were found", paths.len());
    for path in paths {
        let name = name_of(&path);
        let Err(diagnostics) = manifest::load(std::slice::from_ref(&path)) else {
            panic!("{name} is accepted");
        };
        for diagnostic in diagnostics.iter() {
            assert!(!diagnostic.reason().is_empty(), "{name}: no reason: {diagnostics}");
            assert!(!diagnostic.advice().is_empty(), "{name}: no advice: {diagnostics}");
            let place = diagnostics.location(diagnostic).unwrap();
            assert_eq!(PathBuf::from(place.file), path, "{name}: not in the manifest: {diagnostics}");
        }
        insta::with_settings!({
            snapshot_path => "contract",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(name, told(&diagnostics)) });
    }
}

fn contract(declared: &Declaration) -> &Contract {
    declared.contract.as_deref().unwrap()
}

fn method<'d>(declared: &'d Declaration, name: &str) -> &'d ContractMethod {
    contract(declared).methods.iter().find(|method| method.method.name() == name).unwrap()
}

/// What each field of an answer says, in words.
fn says(method: &ContractMethod) -> Vec<String> {
    let word = |says: &nearcopy::replication::Says| format!("{} <- {}", says.field.name(), says.from);
    let mut words: Vec<String> = method.says.iter().map(word).collect();
    words.sort();
    words
}

#[test]
fn the_foos_example_means_what_it_says() {
    let declared = manifest::load(&[root().join("config/examples/foos.yaml")]).unwrap();
    assert_eq!(contract(&declared).services(), ["acme.v1.Foos"]);
    let [get, list] = ["GetFoo", "GetFoos"].map(|name| method(&declared, name));
    assert_eq!((get.from.as_str(), get.into.is_none()), ("foos", true));
    let Asks::One(id) = &get.asks else { panic!("one") };
    assert_eq!(id.to_string(), "foo_id");
    let fields = [
        "created <- created_at",
        "detail <- detail",
        "history <- history",
        "id <- _id",
        "revision <- _version",
        "status <- status",
        "title <- title",
    ];
    assert_eq!(says(get), fields);
    assert_eq!(says(list), fields, "an alias repeats the mapping");
    let any = get.says.iter().find_map(|says| says.any.as_ref()).unwrap();
    assert_eq!(any.full_name(), "acme.v1.Detail");
    let Asks::Many { conditions, size, paging } = &list.asks else { panic!("many") };
    assert_eq!((conditions[0].on.as_str(), conditions[0].value.to_string()), ("status", "status".into()));
    assert_eq!(size.as_ref().unwrap().to_string(), "page_size");
    let paging = paging.as_ref().unwrap();
    assert_eq!((paging.token.to_string().as_str(), paging.next.name()), ("page_token", "next_page_token"));
    assert_eq!(list.into.as_ref().unwrap().name(), "foos");
}

/// A folder with a manifest of this `grpc` section, and these other files.
fn folder(name: &str, grpc: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("contract").join(name);
    drop(std::fs::remove_dir_all(&folder));
    let base = std::fs::read_to_string(root().join(FOLDER).join("protos_empty.yaml")).unwrap();
    let base = base.split("grpc:").next().unwrap();
    for (name, text) in files.iter().chain([&("nearcopy.yaml", format!("{base}grpc:\n{grpc}").as_str())]) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const FOO: &str = "syntax = \"proto3\"; package acme.v1; message Foo { string id = 1; string name = 2; }";
const FOOS: &str = "syntax = \"proto3\"; package acme.v1; import \"acme/v1/foo.proto\";
    message FooRequest { message Key { int64 id = 1; } Key key = 1; }
    service Foos { rpc GetFoo(FooRequest) returns (Foo); rpc DropFoo(FooRequest) returns (Foo); }";
const METHODS: &str = "  methods: { acme.v1.Foos/GetFoo: { from: foos, get: key.id } }\n";

#[test]
fn files_that_lie_as_their_packages_say_import_each_other_by_these_names() {
    let grpc = format!("  protos: [proto/acme/v1/foos.proto, proto/acme/v1/foo.proto]\n{METHODS}");
    let files = [("proto/acme/v1/foos.proto", FOOS), ("proto/acme/v1/foo.proto", FOO)];
    let declared = manifest::load(&[folder("packages", &grpc, &files)]).unwrap();
    let get = method(&declared, "GetFoo");
    let Asks::One(id) = &get.asks else { panic!("one") };
    assert_eq!((id.to_string().as_str(), says(get).join(", ")), ("key.id", "id <- _id, name <- name".into()));
    assert!(contract(&declared).files.get_file_by_name("acme/v1/foos.proto").is_some());
}

#[test]
fn an_import_is_also_looked_for_beside_the_manifest_and_never_outside() {
    let grpc = format!("  protos: [foos.proto]\n{METHODS}");
    let files = [("foos.proto", FOOS), ("acme/v1/foo.proto", FOO)];
    assert!(manifest::load(&[folder("beside", &grpc, &files)]).is_ok());
    let outside = FOOS.replace("acme/v1/foo.proto", "../outside/foo.proto");
    let files = [("in/foos.proto", outside.as_str()), ("outside/foo.proto", FOO)];
    let grpc = grpc.replace("foos.proto", "in/foos.proto");
    let diagnostics = manifest::load(&[folder("outside", &grpc, &files)]).unwrap_err();
    assert_eq!(codes(&diagnostics), ["N311"], "{diagnostics}");
}

#[test]
fn what_is_no_file_has_none_beside_it() {
    let text = std::fs::read_to_string(root().join("config/examples/foos.yaml")).unwrap();
    let diagnostics = manifest::parse("foos.yaml", &text, &|_| None).unwrap_err();
    assert_eq!(codes(&diagnostics), ["N001"]);
}

#[test]
fn no_mutilated_file_brings_the_compiler_down() {
    let mut dice = Dice(0x5eed_0000_0000_0002);
    let read = |name: &str| std::fs::read_to_string(root().join(FOLDER).join("proto").join(name)).unwrap();
    let (foos, parts) = (read("foos.proto"), read("parts.proto"));
    let methods = "{ acme.v1.Foos/GetFoo: { from: foos, get: foo_id, fields: { created: created_at } }, acme.v1.Foos/GetFoos: { from: \
                   foos, list: { into: foos, where: { status: any_status, age.gte: min_age } } } }";
    let grpc = format!("  protos: [foos.proto]\n  methods: {methods}\n");
    let load = |foos: &str, parts: &str| {
        manifest::load(&[folder("mutilated", &grpc, &[("foos.proto", foos), ("parts.proto", parts)])])
    };
    assert!(load(&foos, &parts).is_ok());
    for turn in 0..300 {
        let mutated = mutate(if turn % 2 == 0 { &foos } else { &parts }, &mut dice);
        let read = if turn % 2 == 0 { load(&mutated, &parts) } else { load(&foos, &mutated) };
        if let Err(diagnostics) = read {
            assert!(diagnostics.to_string().contains("error"), "refused for no reason:\n{mutated}");
        }
    }
}
