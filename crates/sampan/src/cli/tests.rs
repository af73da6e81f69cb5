//! Docker's rules for command lines, and its answers where they are broken. The expected texts are those of
//! docker 28.2.2.

use super::*;

/// Create and run a new container from an image
#[derive(Args)]
struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long)]
    env: Vec<String>,
    /// Container host name
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Memory limit
    #[arg(short, long, value_name = "bytes")]
    memory: Option<types::Bytes>,
    /// Assign a name to the container
    #[arg(long)]
    name: Option<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long)]
    publish: Vec<String>,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, default_value = "missing")]
    pull: String,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    rm: bool,
    /// Proxy received signals to the process
    #[arg(long, default_value_t = true)]
    sig_proxy: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    #[arg(value_names = ["IMAGE", "COMMAND"], required = true, trailing_var_arg = true)]
    image_and_command: Vec<String>,
}

impl Verb for Run {
    const NAMES: &'static [&'static str] = &["container run", "run"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let Run {
            detach, env, hostname, interactive, memory, name, publish, pull, rm, sig_proxy, tty, ..
        } = self;
        anyhow::bail!(
            "detach={detach} env={env:?} hostname={hostname:?} interactive={interactive} \
             memory={memory:?} name={name:?} publish={publish:?} pull={pull} rm={rm} sig_proxy={sig_proxy} \
             tty={tty} debug={} words={:?}",
            globals.debug,
            self.image_and_command
        )
    }
}

/// List containers
#[derive(Args)]
struct Ps {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, default_value = "-1")]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for Ps {
    const NAMES: &'static [&'static str] = &["container ls", "container list", "container ps", "ps"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        let Ps { all, filter, format, last, latest, no_trunc, quiet } = self;
        anyhow::bail!(
            "all={all} filter={filter:?} format={format:?} last={last} latest={latest} no_trunc={no_trunc} \
             quiet={quiet}"
        )
    }
}

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Args)]
struct Tag {
    source: String,
    target: String,
}

impl Verb for Tag {
    const NAMES: &'static [&'static str] = &["image tag", "tag"];
    const USAGE: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::bail!("{} {}", self.source, self.target)
    }
}

/// Copy files/folders between a container and the local filesystem
///
/// Use '-' as the source to read a tar archive from stdin
#[derive(Args)]
struct Cp {
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    source: OsString,
    destination: OsString,
}

impl Verb for Cp {
    const NAMES: &'static [&'static str] = &["container cp", "cp"];
    const USAGE: &'static str =
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::bail!("follow={} {:?} {:?}", self.follow_link, self.source, self.destination)
    }
}

/// Execute a command in a running container
#[derive(Args)]
struct Exec {
    #[arg(short, long)]
    tty: bool,
    #[arg(num_args = 2.., required = true, trailing_var_arg = true)]
    container_and_command: Vec<String>,
}

impl Verb for Exec {
    const NAMES: &'static [&'static str] = &["container exec", "exec"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::bail!("tty={} {:?}", self.tty, self.container_and_command)
    }
}

/// List port mappings
#[derive(Args)]
struct PortOf {
    container: String,
    port: Option<String>,
}

impl Verb for PortOf {
    const NAMES: &'static [&'static str] = &["container port", "port"];
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::bail!("{} {:?}", self.container, self.port)
    }
}

/// Stop one or more running containers
#[derive(Args)]
struct Stop {
    /// Seconds to wait before killing the container
    #[arg(short, long)]
    timeout: Option<i64>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Stop {
    const NAMES: &'static [&'static str] = &["container stop", "stop"];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::bail!("timeout={:?} {:?}", self.timeout, self.containers)
    }
}

/// List images
#[derive(Args)]
struct Images {
    #[arg(short, long)]
    all: bool,
    repository: Option<String>,
}

impl Verb for Images {
    const NAMES: &'static [&'static str] = &["image ls", "image list", "images"];
    const USAGE: &'static str = "[OPTIONS] [REPOSITORY[:TAG]]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::bail!("all={} {:?}", self.all, self.repository)
    }
}

const PROGRAM: Program<'static> = Program {
    name: "sampan",
    version: "1.2.3",
    about: "Containers in one program",
    common: &["run", "ps"],
    nouns: &[("container", "Manage containers"), ("image", "Manage images")],
    commands: &[
        Command::of::<Cp>(),
        Command::of::<Exec>(),
        Command::of::<Images>(),
        Command::of::<PortOf>(),
        Command::of::<Ps>(),
        Command::of::<Run>(),
        Command::of::<Stop>(),
        Command::of::<Tag>(),
    ],
};

fn answer(line: &[&str]) -> Result<String, Page> {
    let words = std::iter::once("/usr/bin/docker").chain(line.iter().copied()).map(OsString::from);
    let cli = Cli::parse(words, &PROGRAM)?;
    Ok(cli.run().expect_err("the commands here only tell what they got").to_string())
}

/// `line` is understood, and the command sees what `expected` lists.
fn accepts(line: &[&str], expected: &[&str]) {
    let seen = answer(line).unwrap_or_else(|page| panic!("{line:?} was refused:\n{}", page.text));
    for part in expected {
        assert!(seen.contains(part), "{line:?}: no {part} in {seen}");
    }
}

/// `line` is refused with `message` as docker tells it, with `usage` after the command's path.
fn refuses_flag(line: &[&str], message: &str, path: &str, usage: &str) {
    let text = format!("{message}\n\nUsage:  {path} {usage}\n\nRun '{path} --help' for more information\n");
    let expected = Page { text, stream: usage::Stream::Stderr, code: 125 };
    assert_eq!(answer(line), Err(expected), "{line:?}");
}

fn refuses(line: &[&str], code: u8, text: &str) {
    let expected = Page { text: text.to_owned(), stream: usage::Stream::Stderr, code };
    assert_eq!(answer(line), Err(expected), "{line:?}");
}

const RUN: &str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";

#[test]
fn options_stop_at_the_image() {
    accepts(
        &["run", "--rm", "b", "sh", "-it", "--rm=x", "--name"],
        &["rm=true", "tty=false", r#"words=["b", "sh", "-it", "--rm=x", "--name"]"#],
    );
    accepts(&["run", "b", "--", "x"], &[r#"words=["b", "--", "x"]"#]);
    accepts(&["run", "--", "-b", "--rm"], &["rm=false", r#"words=["-b", "--rm"]"#]);
    accepts(&["run", "b", "--help"], &[r#"words=["b", "--help"]"#]);
    accepts(&["exec", "-t", "c", "ls", "-t"], &["tty=true", r#"["c", "ls", "-t"]"#]);
}

#[test]
fn other_commands_take_options_anywhere() {
    accepts(&["stop", "a", "-t", "3", "b"], &["timeout=Some(3)", r#"["a", "b"]"#]);
    accepts(&["stop", "a", "--", "-t"], &["timeout=None", r#"["a", "-t"]"#]);
    accepts(&["cp", "a:/x", "-L", "-"], &["follow=true", r#""a:/x" "-""#]);
}

#[test]
fn booleans_cluster_and_take_a_value() {
    accepts(&["run", "-it", "b"], &["interactive=true", "tty=true"]);
    accepts(&["run", "-it=false", "b"], &["interactive=true", "tty=false"]);
    accepts(&["run", "-dp80:80", "b"], &["detach=true", r#"publish=["80:80"]"#]);
    accepts(&["run", "-itd", "--detach=false", "b"], &["detach=false"]);
    accepts(&["run", "--sig-proxy=0", "b"], &["sig_proxy=false"]);
    accepts(&["run", "b"], &["sig_proxy=true", "rm=false"]);
    accepts(&["run", "--rm=T", "b"], &["rm=true"]);
}

#[test]
fn values_come_attached_or_apart_and_may_begin_with_a_dash() {
    accepts(
        &["run", "-p80:80", "-p", "81:81", "--publish=82:82", "b"],
        &[r#"publish=["80:80", "81:81", "82:82"]"#],
    );
    accepts(&["run", "-e", "A", "-eB=1", "-e=C=2", "b"], &[r#"env=["A", "B=1", "C=2"]"#]);
    accepts(&["run", "--name", "-x", "b"], &[r#"name=Some("-x")"#]);
    accepts(&["run", "--name=", "b"], &[r#"name=Some("")"#]);
    accepts(&["run", "-e", "--rm", "b"], &[r#"env=["--rm"]"#, "rm=false"]);
    accepts(&["stop", "-t", "-1", "a"], &["timeout=Some(-1)"]);
    accepts(&["run", "-h", "host", "b"], &[r#"hostname=Some("host")"#]);
    accepts(&["run", "-m", "6m", "b"], &["memory=Some(Bytes(6291456))"]);
}

#[test]
fn the_last_of_a_repeated_flag_wins() {
    accepts(&["run", "--name", "a", "--name", "c", "b"], &[r#"name=Some("c")"#]);
    accepts(&["ps", "-n1", "-n", "2", "-a", "-a"], &["last=2", "all=true"]);
}

#[test]
fn a_command_has_a_long_and_a_short_name_and_global_options_before_it() {
    for name in [&["ps"] as &[_], &["container", "ls"], &["container", "list"], &["container", "ps"]] {
        accepts(&[name, &["-aq"]].concat(), &["all=true", "quiet=true"]);
    }
    accepts(&["-D", "-H", "unix:///x", "run", "b"], &["debug=true"]);
    accepts(&["--debug=false", "run", "b"], &["debug=false"]);
}

#[test]
fn an_unknown_flag_is_refused() {
    refuses_flag(&["run", "--x", "b"], "unknown flag: --x", "docker run", RUN);
    refuses_flag(&["run", "--x=1", "b"], "unknown flag: --x", "docker run", RUN);
    refuses_flag(&["container", "run", "--x", "b"], "unknown flag: --x", "docker container run", RUN);
    refuses_flag(&["ps", "--al"], "unknown flag: --al", "docker ps", "[OPTIONS]");
    refuses_flag(&["run", "-y", "b"], "unknown shorthand flag: 'y' in -y", "docker run", RUN);
    refuses_flag(&["ps", "-yq"], "unknown shorthand flag: 'y' in -yq", "docker ps", "[OPTIONS]");
    refuses_flag(&["ps", "-aqy"], "unknown shorthand flag: 'y' in -y", "docker ps", "[OPTIONS]");
    refuses_flag(&["ps", "---x"], "bad flag syntax: ---x", "docker ps", "[OPTIONS]");
    refuses_flag(&["--foo", "ps"], "unknown flag: --foo", "docker", "[OPTIONS] COMMAND [ARG...]");
    refuses_flag(&["-y"], "unknown shorthand flag: 'y' in -y", "docker", "[OPTIONS] COMMAND [ARG...]");
}

#[test]
fn a_flag_without_its_value_is_refused() {
    refuses_flag(&["run", "--name"], "flag needs an argument: --name", "docker run", RUN);
    refuses_flag(&["run", "-e"], "flag needs an argument: 'e' in -e", "docker run", RUN);
    refuses_flag(&["run", "-ite"], "flag needs an argument: 'e' in -e", "docker run", RUN);
    refuses_flag(&["ps", "-f"], "flag needs an argument: 'f' in -f", "docker ps", "[OPTIONS]");
    refuses_flag(&["-H"], "flag needs an argument: 'H' in -H", "docker", "[OPTIONS] COMMAND [ARG...]");
}

#[test]
fn a_value_that_cannot_be_read_is_refused_with_gos_reason() {
    for (line, message, path, usage) in [
        (
            &["run", "--detach=foo", "b"] as &[&str],
            r#"invalid argument "foo" for "-d, --detach" flag: strconv.ParseBool: parsing "foo": invalid syntax"#,
            "docker run",
            RUN,
        ),
        (
            &["run", "--rm=", "b"],
            r#"invalid argument "" for "--rm" flag: strconv.ParseBool: parsing "": invalid syntax"#,
            "docker run",
            RUN,
        ),
        (
            &["ps", "-aq=x"],
            r#"invalid argument "x" for "-q, --quiet" flag: strconv.ParseBool: parsing "x": invalid syntax"#,
            "docker ps",
            "[OPTIONS]",
        ),
        (
            &["ps", "-n3x"],
            r#"invalid argument "3x" for "-n, --last" flag: strconv.ParseInt: parsing "3x": invalid syntax"#,
            "docker ps",
            "[OPTIONS]",
        ),
        (
            &["stop", "-t", "999999999999999999999", "a"],
            r#"invalid argument "999999999999999999999" for "-t, --timeout" flag: strconv.ParseInt: parsing "999999999999999999999": value out of range"#,
            "docker stop",
            "[OPTIONS] CONTAINER [CONTAINER...]",
        ),
        (
            &["run", "-m", "xx", "b"],
            r#"invalid argument "xx" for "-m, --memory" flag: invalid size: 'xx'"#,
            "docker run",
            RUN,
        ),
    ] {
        refuses_flag(line, message, path, usage);
    }
}

#[test]
fn too_few_and_too_many_arguments_are_counted() {
    let count = |line: &[&str], path: &str, says: &str, usage: &str, verb: &str| {
        let text = format!(
            "docker: '{path}' {says}\n\nUsage:  {usage}\n\n{verb} '{path} --help' for more information\n"
        );
        refuses(line, 1, &text);
    };
    let run = format!("docker run {RUN}");
    count(&["run"], "docker run", "requires at least 1 argument", &run, "See");
    count(&["run", "-it=false"], "docker run", "requires at least 1 argument", &run, "See");
    let exec = "docker exec [OPTIONS] CONTAINER COMMAND [ARG...]";
    count(&["exec"], "docker exec", "requires at least 2 arguments", exec, "See");
    count(&["exec", "a"], "docker exec", "requires at least 2 arguments", exec, "See");
    let tag = "docker tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    count(&["tag", "a"], "docker tag", "requires 2 arguments", tag, "Run");
    count(&["tag", "a", "b", "c"], "docker tag", "requires 2 arguments", tag, "Run");
    count(&["ps", "x"], "docker ps", "accepts no arguments", "docker ps [OPTIONS]", "Run");
    let images = "docker images [OPTIONS] [REPOSITORY[:TAG]]";
    count(&["images", "a", "b"], "docker images", "requires at most 1 argument", images, "Run");
    let port = "docker port CONTAINER [PRIVATE_PORT[/PROTO]]";
    count(&["port"], "docker port", "requires at least 1 and at most 2 arguments", port, "Run");
    let cp = "docker cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t\
              docker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH";
    count(&["cp", "a"], "docker cp", "requires 2 arguments", cp, "Run");
    count(&["cp", "a", "b", "c"], "docker cp", "requires 2 arguments", cp, "Run");
}

#[test]
fn arguments_that_are_not_text_are_refused_where_text_is_needed() {
    use std::os::unix::ffi::OsStringExt;
    let path = OsString::from_vec(vec![b'a', 0xff]);
    let parse = |verb: &str| {
        let words = ["docker".into(), verb.into(), path.clone(), "b".into()];
        Cli::parse(words, &PROGRAM).map(|cli| cli.run().unwrap_err().to_string())
    };
    assert!(parse("cp").is_ok_and(|seen| seen.contains(r#""a\xFF""#)));
    let page = parse("tag").unwrap_err();
    assert_eq!((page.text.as_str(), page.code), ("docker tag: an argument is not valid UTF-8\n", 1));
}

#[test]
fn an_unknown_command_is_refused() {
    refuses(&["psx"], 1, "docker: unknown command: docker psx\n\nRun 'docker --help' for more information\n");
    refuses(
        &["container", "psx"],
        1,
        "docker: unknown command: docker container psx\n\nUsage:  docker container\n\n\
         Run 'docker container --help' for more information\n",
    );
    refuses(&["help", "foo"], 1, "unknown help topic: foo\n");
}

#[test]
fn version_names_the_program_as_it_was_called() {
    for flag in ["--version", "-v"] {
        assert_eq!(answer(&[flag]), Err(Page::answer("Docker version 1.2.3\n".to_owned())));
    }
}

#[test]
fn help_of_a_command_shows_usage_description_aliases_and_options() {
    let expected = "\
Usage:  docker ps [OPTIONS]

List containers

Aliases:
  docker container ls, docker container list, docker container ps, docker ps

Options:
  -a, --all             Show all containers (default shows just running)
  -f, --filter filter   Filter output based on conditions provided
      --format string   Format output using a custom template
  -n, --last int        Show n last created containers (includes all
                        states) (default -1)
  -l, --latest          Show the latest created container (includes all
                        states)
      --no-trunc        Don't truncate output
  -q, --quiet           Only display container IDs
";
    for line in [&["ps", "--help"] as &[_], &["ps", "-h"], &["help", "ps"]] {
        assert_eq!(answer(line), Err(Page::answer(expected.to_owned())), "{line:?}");
    }
    let run = answer(&["run", "--help"]).unwrap_err().text;
    for line in [
        "  -d, --detach            Run container in background and print container ID\n",
        "  -e, --env list          Set environment variables\n",
        "      --help              Print usage\n",
        "  -h, --hostname string   Container host name\n",
        "  -m, --memory bytes      Memory limit\n",
        "(default \"missing\")\n",
        "(default true)\n",
    ] {
        assert!(run.contains(line), "no {line:?} in\n{run}");
    }
    let cp = answer(&["cp", "--help"]).unwrap_err().text;
    let start = "Usage:  docker cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t\
                 docker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH\n\n\
                 Copy files/folders between a container and the local filesystem\n\n\
                 Use '-' as the source to read a tar archive from stdin\n\nAliases:\n";
    assert!(cp.starts_with(start), "{cp}");
}

#[test]
fn help_of_a_noun_and_of_the_program_list_commands() {
    let image = "\
Usage:  docker image COMMAND

Manage images

Commands:
  ls          List images
  tag         Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE

Run 'docker image COMMAND --help' for more information on a command.
";
    assert_eq!(answer(&["image", "--help"]), Err(Page::answer(image.to_owned())));
    assert_eq!(answer(&["help", "image"]), Err(Page::answer(image.to_owned())));
    assert_eq!(answer(&["image"]), Err(Page::answer(image.to_owned()).on_stderr()));

    let all = answer(&["--help"]).unwrap_err();
    let start = "\
Usage:  docker [OPTIONS] COMMAND

Containers in one program

Common Commands:
  run         Create and run a new container from an image
  ps          List containers

Management Commands:
  container   Manage containers
  image       Manage images

Commands:
  cp          Copy files/folders between a container and the local filesystem
  exec        Execute a command in a running container
";
    assert!(all.text.starts_with(start), "{}", all.text);
    assert!(all.text.contains("Global Options:\n") && all.text.contains("  -H, --host list"), "{}", all.text);
    assert_eq!(answer(&[]), Err(all.on_stderr()));
}
