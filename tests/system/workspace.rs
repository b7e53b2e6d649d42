//! The workspace's own files: its sources, its manifests, its template and its programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

/// A file or folder by its path from the workspace's root.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

pub fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the wanted files and folders in a folder.
pub fn names(folder: &str, is_wanted: impl Fn(&Path) -> bool) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap());
    let wanted = entries.filter(|entry| is_wanted(&entry.path()));
    wanted.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

pub fn functions() -> BTreeSet<String> {
    names("functions", Path::is_dir)
}

/// The logical id of a function in the template: `SendOtpFunction` for `send-otp`.
pub fn logical_id(function: &str) -> String {
    let words = function.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.chain(["Function".to_owned()]).collect()
}

/// What builds and tools write into the repository, and the corpus, which is data.
const SKIPPED: [&str; 9] =
    [".git", ".local", ".aws-sam", ".venv", "target", "artifacts", "corpus", "__pycache__", "node_modules"];

/// All files under a folder, by their paths from the workspace's root. The root itself is "".
pub fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(folder, |_| true).into_iter().filter(|name| !SKIPPED.contains(&name.as_str())) {
        let inner = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if path(&inner).is_dir() { found.extend(files(&inner)) } else { found.push(inner) }
    }
    found
}

pub fn rust_files(folder: &str) -> Vec<String> {
    files(folder).into_iter().filter(|file| file.ends_with(".rs")).collect()
}

/// A program of the workspace. Cargo does not build it for a test of another package, and an existing one may be
/// outdated. So it is built here, mostly from what cargo has compiled already.
pub fn program(name: &str) -> &'static Path {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let mut arguments = vec!["build", "--workspace", "--bin", "latchkey-local", "--bin", "latchkey"];
        arguments.extend(["--locked", "--quiet", "--message-format", "json"]);
        if !cfg!(debug_assertions) {
            arguments.push("--release");
        }
        let messages = cargo(&arguments);
        let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).collect()
    });
    programs.iter().find(|built| built.file_stem().is_some_and(|stem| stem == name)).unwrap()
}

/// What cargo prints.
pub fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let output = Command::new(cargo).args(arguments).current_dir(path("")).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `cargo metadata` of the workspace's members.
pub fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let text = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline", "--locked"]);
        serde_json::from_str(&text).unwrap()
    })
}

/// `template.yaml`, each tag in its long form.
pub fn template() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| template_of("template.yaml"))
}

/// A template by its path, each tag in its long form.
pub fn template_of(path: &str) -> Value {
    long_form(&serde_yaml_ng::from_str(&text(path)).unwrap())
}

pub fn resource(id: &str) -> &'static Value {
    &template()["Resources"][id]
}

/// The resources of one type, by their logical ids.
pub fn resources(kind: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    let all = template()["Resources"].as_object().unwrap().iter();
    all.filter(move |(_, resource)| resource["Type"] == kind).map(|(id, resource)| (id.as_str(), resource))
}

fn long_form(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let name = name.trim_start_matches('!');
            let is_whole = ["Ref", "Condition"].contains(&name);
            let name = if is_whole { name.to_owned() } else { format!("Fn::{name}") };
            json!({ name: long_form(&tagged.value) })
        }
        Yaml::Mapping(members) => {
            members.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), long_form(value))).collect()
        }
        Yaml::Sequence(values) => values.iter().map(long_form).collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

/// CloudFormation accepts a single value in place of a list of one.
pub fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// A folder for one test, removed when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.file(name), text).unwrap();
        self.file(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The function whose alias API Gateway calls at a URI.
pub fn called_by(uri: &'static Value) -> &'static str {
    let uri = uri["Fn::Sub"].as_str().unwrap();
    let function = uri.split_once("/functions/${").and_then(|(_, rest)| rest.strip_suffix(".Arn}:live/invocations"));
    function.unwrap_or_else(|| panic!("{uri}"))
}
