//! `--mount` of RUN: its options, as BuildKit reads them.

use engine::container::Access;
use types::Bytes;

use crate::{
    diagnostic::Problem,
    graph::{CacheMount, Mount, MountKind, Origin, SecretVariable, Sharing},
    parse::Word,
    path,
    plan::{PlanError, Planner},
};

/// One `--mount` as written.
pub struct MountFlag {
    word: Word,
    /// `key=value`, or a key alone.
    fields: Vec<String>,
}

/// What the mounts of one RUN come to.
#[derive(Default)]
pub struct Mounts {
    /// In the order in which they are to be mounted: those inside others after them.
    pub mounts: Vec<Mount>,
    pub variables: Vec<SecretVariable>,
}

/// The options of one mount, variables resolved.
#[derive(Default)]
struct Options {
    kind: Kind,
    from: Option<String>,
    source: String,
    target: String,
    /// `None` if nothing was said.
    read_only: Option<bool>,
    required: bool,
    size: Option<u64>,
    id: Option<String>,
    sharing: Option<Sharing>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    env: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl MountFlag {
    /// Takes one flag's value apart. What it means is told by [`MountFlag::plan`], when variables have values.
    pub fn read(word: Word) -> Result<MountFlag, Problem> {
        let fields = fields(&word.text).ok_or_else(|| {
            Problem::new(format!("failed to parse csv mounts: {}", word.text), word.span.clone())
        })?;
        let expands = |field: &String| match field.split_once('=') {
            Some((key, value)) => {
                key.eq_ignore_ascii_case("from") && value.find('$').is_some_and(|at| at + 1 < value.len())
            }
            None => false,
        };
        if fields.iter().any(expands) {
            let message = "'from' doesn't support variable expansion, define alias stage instead";
            return Err(Problem::new(message, word.span));
        }
        Ok(MountFlag { word, fields })
    }

    /// Adds what the mount comes to where `directory` is the working directory.
    fn plan(&self, directory: &str, planner: &mut Planner<'_>, all: &mut Mounts) -> Result<(), PlanError> {
        let wrong = |message: String| Problem::new(message, self.word.span.clone());
        let options = self.options(planner)?;
        options.check().map_err(wrong)?;
        let read_only = options.read_only.unwrap_or(!matches!(options.kind, Kind::Cache | Kind::Tmpfs));
        let access = |mode| Access {
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
            mode: options.mode.unwrap_or(mode),
        };
        let required = options.required;
        if options.kind == Kind::Secret {
            let (target, variable) = options.secret();
            let id = options.secret_id();
            all.variables.extend(variable.map(|name| SecretVariable { name, id: id.clone(), required }));
            let kind = MountKind::Secret { id, required, access: access(0o400) };
            all.mounts.extend(target.map(|target| Mount {
                target: path::join(directory, &target),
                read_only,
                kind,
            }));
            return Ok(());
        }
        if options.kind == Kind::Ssh {
            if !options.source.is_empty() {
                return Err(wrong("ssh does not support source".into()).into());
            }
            let agents = all.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Agent { .. }));
            let target = match options.target.as_str() {
                "" => format!("/run/buildkit/ssh_agent.{}", agents.count()),
                target => path::join(directory, target),
            };
            let id = options.id.filter(|id| !id.is_empty()).unwrap_or_else(|| "default".to_owned());
            let kind = MountKind::Agent { id, required, access: access_of_agent(access(0o600)) };
            all.mounts.push(Mount { target, read_only: false, kind });
            return Ok(());
        }
        let target = path::join(directory, &options.target);
        if target == "/" {
            return Err(wrong(format!("invalid mount target {target:?}")).into());
        }
        let source = path::join("/", &options.source);
        let from = match options.from.as_deref().filter(|from| !from.is_empty()) {
            Some(_) if options.kind == Kind::Tmpfs => None,
            Some(name) => {
                let word = Word { text: name.to_owned(), span: self.word.span.clone() };
                Some(planner.mount_origin(&word, &options.target)?)
            }
            None => None,
        };
        let kind = match options.kind {
            Kind::Tmpfs => MountKind::Memory { size: options.size },
            Kind::Cache => MountKind::Cache(CacheMount {
                id: match options.id.filter(|id| !id.is_empty()) {
                    Some(id) => id,
                    None if options.target.starts_with('/') => path::join("/", &options.target),
                    None => path::join("/", &options.target).trim_start_matches('/').to_owned(),
                },
                from,
                source,
                sharing: options.sharing.unwrap_or_default(),
                uid: options.uid,
                gid: options.gid,
                mode: options.mode,
            }),
            _ => MountKind::Files { from: from.unwrap_or(Origin::Context), source },
        };
        all.mounts.push(Mount { target, read_only, kind });
        Ok(())
    }

    fn options(&self, planner: &Planner<'_>) -> Result<Options, Problem> {
        let wrong = |message: String| Problem::new(message, self.word.span.clone());
        let mut options = Options::default();
        for field in &self.fields {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => {
                    let word = Word { text: value.to_owned(), span: self.word.span.clone() };
                    (key.to_lowercase(), Some(planner.expand(&word)?))
                }
                None => (field.to_lowercase(), None),
            };
            options.set(&key, value.as_deref(), field).map_err(|mistake| match mistake {
                Mistake::Value(message) => wrong(message),
                Mistake::Word { message, word, known } => {
                    wrong(message).suggesting(&word, known.iter().copied())
                }
            })?;
        }
        Ok(options)
    }
}

/// The mounts that `flags` come to.
pub fn plan(flags: &[MountFlag], directory: &str, planner: &mut Planner<'_>) -> Result<Mounts, PlanError> {
    let mut all = Mounts::default();
    for flag in flags {
        flag.plan(directory, planner, &mut all)?;
    }
    // Of those at the same place, the last counts.
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in all.mounts {
        mounts.retain(|other| other.target != mount.target);
        mounts.push(mount);
    }
    mounts.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(Mounts { mounts, ..all })
}

/// What is wrong with an option: a value, or a word that is none of those known.
enum Mistake {
    Value(String),
    Word { message: String, word: String, known: &'static [&'static str] },
}

impl From<String> for Mistake {
    fn from(message: String) -> Mistake {
        Mistake::Value(message)
    }
}

impl Options {
    /// Takes in one option, `field` as it was written.
    fn set(&mut self, key: &str, value: Option<&str>, field: &str) -> Result<(), Mistake> {
        let secretive = matches!(self.kind, Kind::Secret | Kind::Ssh);
        let kind = self.kind.name();
        let unexpected = || format!("unexpected key '{key}' for mount type '{kind}'");
        let Some(value) = value else {
            match key {
                "readonly" | "ro" => self.read_only = Some(true),
                "readwrite" | "rw" => self.read_only = Some(false),
                "required" if secretive => self.required = true,
                "required" => return Err(unexpected().into()),
                _ => return Err(format!("invalid field '{field}' must be a key=value pair").into()),
            }
            return Ok(());
        };
        let truth = || is_true(value).ok_or_else(|| format!("invalid value for {key}: {value}"));
        let number =
            |radix| u32::from_str_radix(value, radix).map_err(|_| format!("invalid value {value} for {key}"));
        match key {
            "type" => {
                let lower = value.to_lowercase();
                let known = Kind::ALL.iter().find(|kind| kind.name() == lower);
                self.kind = *known.ok_or_else(|| Mistake::Word {
                    message: format!("unsupported mount type {value:?}"),
                    word: lower,
                    known: &["bind", "cache", "tmpfs", "secret", "ssh"],
                })?;
            }
            "from" => self.from = Some(value.to_owned()),
            "source" | "src" => self.source = value.to_owned(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            "readonly" | "ro" => self.read_only = Some(truth()?),
            "readwrite" | "rw" => self.read_only = Some(!truth()?),
            "required" if secretive => self.required = truth()?,
            "size" if self.kind == Kind::Tmpfs => {
                let size = value.parse::<Bytes>();
                self.size = Some(size.map_err(|_| format!("invalid value for {key}: {value}"))?.0);
            }
            "required" | "size" => return Err(unexpected().into()),
            "id" => self.id = Some(value.to_owned()),
            "sharing" => {
                self.sharing = Some(match value.to_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => {
                        return Err(Mistake::Word {
                            message: format!("unsupported sharing value {value:?}"),
                            word: value.to_owned(),
                            known: &["shared", "private", "locked"],
                        });
                    }
                });
            }
            "mode" => self.mode = Some(number(8)?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            "env" => self.env = Some(value.to_owned()),
            _ => {
                return Err(Mistake::Word {
                    message: format!("unexpected key '{key}' in '{field}'"),
                    word: key.to_owned(),
                    known: &KEYS,
                });
            }
        }
        Ok(())
    }

    /// Refuses options that do not go together.
    fn check(&self) -> Result<(), String> {
        let kind = self.kind.name();
        let has_access = matches!(self.kind, Kind::Secret | Kind::Ssh | Kind::Cache);
        for (name, given) in [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)] {
            if given.is_some() && !has_access {
                return Err(format!("{name} not allowed for {kind:?} type mounts"));
            }
        }
        let id = self.id.as_deref().unwrap_or_default();
        if self.kind == Kind::Secret {
            if self.from.as_deref().is_some_and(|from| !from.is_empty()) {
                return Err("secret mount should not have a from".into());
            }
            if self.sharing.is_some() {
                return Err("secret mount should not define sharing".into());
            }
            if self.source.is_empty() && self.target.is_empty() && id.is_empty() {
                return Err("invalid secret mount. one of source, target required".into());
            }
            if !self.source.is_empty() && !id.is_empty() {
                return Err("both source and id can't be set".into());
            }
        }
        match self.sharing {
            Some(_) if self.kind != Kind::Cache => Err(format!("invalid cache sharing set for {kind} mount")),
            _ => Ok(()),
        }
    }

    fn secret_id(&self) -> String {
        let named = [self.source.as_str(), self.id.as_deref().unwrap_or_default()];
        let named = named.into_iter().find(|name| !name.is_empty());
        named.unwrap_or_else(|| base_name(&self.target)).to_owned()
    }

    /// Where a secret's file is seen, and the variable that holds it.
    fn secret(&self) -> (Option<String>, Option<String>) {
        let target = (!self.target.is_empty()).then(|| self.target.clone());
        match &self.env {
            Some(name) => (target, Some(name.clone())),
            None => {
                let usual = || format!("/run/secrets/{}", base_name(&self.secret_id()));
                (Some(target.unwrap_or_else(usual)), None)
            }
        }
    }
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Bind, Kind::Cache, Kind::Tmpfs, Kind::Secret, Kind::Ssh];

    fn name(self) -> &'static str {
        match self {
            Kind::Bind => "bind",
            Kind::Cache => "cache",
            Kind::Tmpfs => "tmpfs",
            Kind::Secret => "secret",
            Kind::Ssh => "ssh",
        }
    }
}

/// Only the permission bits count for a socket.
fn access_of_agent(access: Access) -> Access {
    Access { mode: access.mode & 0o777, ..access }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// The fields of a line of comma-separated values, of which some may be in quotes; `None` if it is none.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) =
                rest.split_once(',').map_or((rest, None), |(field, rest)| (field, Some(rest)));
            if field.contains('"') {
                return None;
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Some(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut from = quoted;
        let after = loop {
            let (part, after) = from.split_once('"')?;
            field.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    from = more;
                }
                None => break after,
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return after.is_empty().then_some(fields),
        }
    }
}

/// As Go's `strconv.ParseBool` has it.
fn is_true(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{Action, Run},
        instructions::testing::*,
    };

    fn run(dockerfile: &str) -> Run {
        let graph = planned(&format!("FROM scratch\n{dockerfile}")).expect("valid");
        match graph.operations.into_iter().last().map(|operation| operation.action) {
            Some(Action::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    fn mount(options: &str) -> Mount {
        run(&format!("ARG D=/d\nWORKDIR /w\nRUN --mount={options} x")).mounts.remove(0)
    }

    #[test]
    fn a_mount_without_a_type_is_of_the_context_and_read_only() {
        let files = |source: &str| MountKind::Files { from: Origin::Context, source: source.into() };
        let expected = Mount { target: "/d/x".into(), read_only: true, kind: files("/") };
        assert_eq!(mount("target=$D/x"), expected);
        let expected = Mount { target: "/w/in".into(), read_only: false, kind: files("/a,b") };
        assert_eq!(mount("type=bind,\\\"src=./a,b\\\",dst=in,rw"), expected);
        assert!(mount("target=/x,rw=false").read_only);
    }

    #[test]
    fn a_cache_is_called_by_its_target_and_shared_unless_it_says_otherwise() {
        let cache = |options: &str| match mount(&format!("type=cache,{options}")).kind {
            MountKind::Cache(cache) => (cache.id, cache.sharing, cache.mode),
            other => panic!("{other:?}"),
        };
        assert_eq!(cache("target=/var//c/"), ("/var/c".into(), Sharing::Shared, None));
        assert_eq!(
            cache("target=/c,id=i,sharing=LOCKED,mode=0700"),
            ("i".into(), Sharing::Locked, Some(0o700))
        );
    }

    #[test]
    fn a_secret_is_a_file_or_a_variable_or_both() {
        let access = Access { uid: 0, gid: 0, mode: 0o400 };
        let kind = MountKind::Secret { id: "a/b".into(), required: false, access };
        assert_eq!(
            mount("type=secret,id=a/b"),
            Mount { target: "/run/secrets/b".into(), read_only: true, kind }
        );
        let run = run("RUN --mount=type=secret,id=s,env=TOKEN,required x");
        assert_eq!(run.mounts, []);
        assert_eq!(run.secrets, [SecretVariable { name: "TOKEN".into(), id: "s".into(), required: true }]);
    }

    #[test]
    fn an_agent_is_found_through_its_variable_unless_that_is_set() {
        let run_of = |dockerfile: &str| run(&format!("{dockerfile}RUN --mount=type=ssh x"));
        assert!(run_of("").environment.contains(&"SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0".into()));
        let own = run_of("ENV SSH_AUTH_SOCK=/s\n").environment;
        assert_eq!(own.iter().filter(|entry| entry.starts_with("SSH_AUTH_SOCK")).count(), 1);
    }

    #[test]
    fn mounts_are_in_the_order_in_which_they_fit_into_each_other_and_the_last_of_equals_counts() {
        let run =
            run("RUN --mount=target=/a/b --mount=type=tmpfs,target=/a --mount=type=tmpfs,target=/a/b x");
        let targets: Vec<_> =
            run.mounts.iter().map(|mount| (mount.target.as_str(), mount.read_only)).collect();
        assert_eq!(targets, [("/a", false), ("/a/b", false)]);
    }

    #[test]
    fn what_buildkit_refuses_is_refused_in_its_words() {
        for (options, message) in [
            ("type=foo,target=/x", "unsupported mount type \"foo\""),
            ("type=tmpfs", "invalid mount target \"/\""),
            ("type=tmpfs,target=/x,frob=1", "unexpected key 'frob' in 'frob=1'"),
            ("type=cache,target=/x,sharing=foo", "unsupported sharing value \"foo\""),
            ("type=cache,target=/x,uid=abc", "invalid value abc for uid"),
            ("target=/x,mode=1", "mode not allowed for \"bind\" type mounts"),
            ("target=/x,size=1", "unexpected key 'size' for mount type 'bind'"),
            ("target=/x,nope", "invalid field 'nope' must be a key=value pair"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=a,src=b", "both source and id can't be set"),
            ("target=/x,from=$A", "'from' doesn't support variable expansion, define alias stage instead"),
        ] {
            check_problem(&format!("RUN --mount={options} x"), message);
        }
    }
}
