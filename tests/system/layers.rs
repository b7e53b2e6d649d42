//! The order of imports between the folders of a crate. Imports never form a circle, and nothing imports from the root
//! of its own crate. A change of the order is a change of the lists in this file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use serde_json::Value;

use crate::imports::{Crate, Module, synthetic};
use crate::workspace::{metadata, path};

/// The folders (or files) of a crate that have the same place in the order: each may import from all earlier layers.
struct Layer {
    folders: &'static [&'static str],
    siblings: Siblings,
}

/// What the folders of one layer may import from each other.
enum Siblings {
    All,
    Only(&'static [(&'static str, &'static str)]),
}

const fn layer(folders: &'static [&'static str]) -> Layer {
    Layer { folders, siblings: Siblings::Only(&[]) }
}

const DOMAIN: [Layer; 3] = [layer(&["values"]), layer(&["rules"]), layer(&["use_cases"])];

const ADAPTERS: [Layer; 6] = [
    layer(&["config"]),
    Layer {
        folders: &["clock", "random", "telemetry", "expiring", "tokens", "device_proof", "people"],
        siblings: Siblings::All,
    },
    layer(&["https"]),
    layer(&["app"]),
    Layer {
        folders: &["dynamodb", "event_bus", "secrets", "sms", "google"],
        siblings: Siblings::Only(&[("sms", "secrets"), ("google", "secrets")]),
    },
    layer(&["http"]),
];

/// The folders of sources of all packages but the tests: the files of a test may share what its root defines.
fn sources() -> BTreeSet<String> {
    let packages = metadata()["packages"].as_array().unwrap().iter().filter(|package| package["name"] != "tests");
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let built = targets.filter(|target| ["lib", "bin"].iter().any(|kind| target["kind"][0] == *kind));
    let folder = |target: &Value| {
        let source = Path::new(target["src_path"].as_str().unwrap()).strip_prefix(path("")).unwrap();
        source.parent().unwrap().to_str().unwrap().to_owned()
    };
    built.map(folder).collect()
}

impl Crate {
    /// The shortest circle of imports through a module. It starts with that module, which is not repeated at the end.
    fn circle(&self, start: &Module) -> Option<Vec<&Module>> {
        let (start, _) = self.imports.get_key_value(start)?;
        let mut importers: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(module) = waiting.pop_front() {
            for imported in self.imports[module].keys() {
                if imported == start {
                    let mut circle = vec![module];
                    while let Some(importer) = importers.get(circle[circle.len() - 1]) {
                        circle.push(importer);
                    }
                    circle.reverse();
                    return Some(circle);
                }
                importers.entry(imported).or_insert_with(|| {
                    waiting.push_back(imported);
                    module
                });
            }
        }
        None
    }

    /// One message for each circle, and the number of files that are in one.
    fn circles(&self) -> (usize, BTreeSet<String>) {
        let circles: Vec<_> = self.files.keys().filter_map(|module| self.circle(module)).collect();
        let messages = circles.iter().map(|circle| {
            let first = circle.iter().enumerate().min_by_key(|(_, module)| **module).map_or(0, |(at, _)| at);
            let imports = (0..circle.len()).map(|step| {
                let [importer, imported] = [step, step + 1].map(|at| circle[(first + at) % circle.len()]);
                self.describe(importer, imported)
            });
            imports.collect::<Vec<_>>().join("\n    ")
        });
        (circles.len(), messages.collect())
    }

    /// The imports that the order does not allow, and the folders that have no place in it. The root only re-exports.
    fn misplaced(&self, layers: &[Layer]) -> BTreeSet<String> {
        let place = |folder: &str| layers.iter().position(|layer| layer.folders.contains(&folder));
        let may_import = |importer: &str, imported: &str| {
            let [above, below] = [importer, imported].map(place);
            importer == imported
                || below < above
                || below == above
                    && above.is_some_and(|place| match layers[place].siblings {
                        Siblings::All => true,
                        Siblings::Only(pairs) => pairs.contains(&(importer, imported)),
                    })
        };
        let mut misplaced = BTreeSet::new();
        for (importer, imports) in &self.imports {
            let Some(folder) = importer.first() else { continue };
            if place(folder).is_none() {
                misplaced.insert(format!("{} is in no layer", self.files[importer]));
                continue;
            }
            for imported in imports.keys() {
                let Some(other) = imported.first() else { continue };
                if place(other).is_some() && !may_import(folder, other) {
                    misplaced.insert(self.describe(importer, imported));
                }
            }
        }
        let folders: BTreeSet<_> = self.files.keys().filter_map(|module| module.first()).collect();
        let named = layers.iter().flat_map(|layer| layer.folders);
        let absent = named.filter(|name| !folders.iter().any(|folder| folder == *name));
        misplaced.extend(absent.map(|name| format!("{name} is in a layer but does not exist")));
        misplaced
    }
}

#[track_caller]
fn assert_order(folder: &str, layers: &[Layer]) {
    let misplaced = Crate::read(folder).misplaced(layers);
    assert!(
        misplaced.is_empty(),
        "imports in {folder} must follow the layers in this test; move the item or the import:\n{}",
        misplaced.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn imports_in_the_domain_follow_the_order_of_its_folders() {
    assert_order("shared/domain/src", &DOMAIN);
}

#[test]
fn imports_in_the_adapters_follow_the_order_of_their_folders() {
    assert_order("shared/adapters/src", &ADAPTERS);
}

#[test]
fn imports_never_form_a_circle_of_files() {
    let mut files = 0;
    let mut messages = Vec::new();
    for folder in sources() {
        let (in_circles, circles) = Crate::read(&folder).circles();
        files += in_circles;
        messages.extend(circles);
    }
    assert_eq!(files, 0, "{files} files import each other in circles:\n{}", messages.join("\n\n"));
}

#[test]
fn no_file_imports_from_the_root_of_its_crate() {
    let mut messages = Vec::new();
    for folder in sources() {
        let read = Crate::read(&folder);
        let root = Module::new();
        let importers = read.imports.iter().filter(|(_, imports)| imports.contains_key(&root));
        messages.extend(importers.map(|(importer, _)| read.describe(importer, &root)));
    }
    assert!(messages.is_empty(), "import each item from the file that defines it:\n{}", messages.join("\n"));
}

#[test]
fn a_circle_of_imports_is_found_and_its_files_are_named_in_order() {
    let (files, circles) = synthetic(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "fn f() { crate::c::g() }"),
        ("c.rs", "use super::a::A;"),
        ("d.rs", "use crate::a::A;"),
    ])
    .circles();
    let steps = [
        "src/a.rs imports crate::b::B, from src/b.rs",
        "src/b.rs imports crate::c::g, from src/c.rs",
        "src/c.rs imports super::a::A, from src/a.rs",
    ];
    assert_eq!((files, circles), (3, BTreeSet::from([steps.join("\n    ")])));
}

#[test]
fn a_child_that_imports_from_the_module_that_re_exports_it_makes_a_circle() {
    for re_export in ["mod child; pub use child::Item;", "mod child; pub use self::child::*;"] {
        let sources =
            [("lib.rs", "mod parent;"), ("parent/mod.rs", re_export), ("parent/child.rs", "use super::Other;")];
        assert_eq!(synthetic(&sources).circles().0, 2, "{re_export}");
    }
    let no_re_export = [("parent/mod.rs", "mod child; struct Other;"), ("parent/child.rs", "use super::Other;")];
    assert_eq!(synthetic(&no_re_export).circles().0, 0);
}

#[test]
fn an_import_against_the_order_is_found() {
    let layers = [
        layer(&["low"]),
        Layer { folders: &["left", "right"], siblings: Siblings::Only(&[("right", "left")]) },
        layer(&["top"]),
    ];
    let misplaced = synthetic(&[
        ("lib.rs", "pub use top::T;"),
        ("low/mod.rs", "pub mod inner;"),
        ("low/inner.rs", "use super::super::left::L; use crate::low::X;"),
        ("left.rs", "use crate::{low::inner::X, right::R};"),
        ("right.rs", "use crate::left::L;"),
        ("top.rs", "use crate::{left, low, right};"),
        ("stray.rs", ""),
    ])
    .misplaced(&layers);
    let wanted = [
        "src/low/inner.rs imports super::super::left::L, from src/left.rs",
        "src/left.rs imports crate::right::R, from src/right.rs",
        "src/stray.rs is in no layer",
    ];
    assert_eq!(misplaced, wanted.map(str::to_owned).into());
    assert_eq!(synthetic(&[("lib.rs", "")]).misplaced(&layers[..1]).len(), 1, "a layer whose folder does not exist");
}
