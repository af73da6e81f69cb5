//! `--check` and `--call`: what can be said of a build without carrying it out.

use std::{
    io::{self, Write as _},
    path::{Component, Path},
    process::ExitCode,
};

use builder::{BuildError, Checked, Host};
use clap::Args;

use super::{answer, failure, show::Show};

/// The question that is asked instead of a build.
#[derive(Args)]
pub struct Call {
    /// Set method for evaluating build ("build", "check", "outline", "targets")
    #[arg(long, value_name = "METHOD", default_value = "build")]
    call: String,
    /// Shorthand for "--call=check"
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    check: bool,
}

/// A question, and how its answer is to look.
pub struct Question {
    about: About,
    as_json: bool,
    /// Whatever is found, the answer is a success.
    ignores_status: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Check,
    Outline,
    Targets,
    Methods,
}

impl Call {
    /// What is asked; `None` if an image is to be built.
    pub fn question(&self) -> anyhow::Result<Option<Question>> {
        // The shorthand wins, as it comes last in docker too.
        let call = if self.check { "check" } else { self.call.as_str() };
        let (mut about, mut as_json, mut ignores_status) = (None, false, false);
        for field in call.split(',') {
            match field.split_once('=') {
                Some(("format", format)) => as_json = format == "json",
                Some(("ignorestatus", value)) => {
                    ignores_status = value
                        .parse()
                        .map_err(|_| anyhow::anyhow!("invalid ignorestatus print value: {value}"))?;
                }
                Some(_) => anyhow::bail!("invalid print field: {field}"),
                None if about.is_some() => anyhow::bail!("invalid print value: {call}"),
                None => about = Some(field),
            }
        }
        let about = match about.unwrap_or_default() {
            "build" | "" => return Ok(None),
            "check" | "lint" => About::Check,
            "outline" => About::Outline,
            "targets" => About::Targets,
            "subrequests.describe" => About::Methods,
            other => anyhow::bail!("unsupported request frontend.{other}"),
        };
        Ok(Some(Question { about, as_json, ignores_status }))
    }
}

impl Question {
    /// Answers to standard output. `place` is how the user names the Dockerfile, apart from what it is called.
    pub fn answer(
        &self,
        request: builder::Build,
        host: &dyn Host,
        show: &Show,
        place: &DockerfilePlace,
    ) -> anyhow::Result<ExitCode> {
        let text = match self.about {
            About::Check => {
                let checked = show.during(|observer| builder::check(request, host, observer));
                return Ok(self.tell_checked(checked, show, place));
            }
            About::Outline => show
                .during(|observer| builder::outline(request, host, observer))
                .map(|outline| answer::outline(&outline, self.as_json)),
            About::Targets => show
                .during(|observer| builder::targets(request, host, observer))
                .map(|targets| answer::targets(&targets, self.as_json)),
            About::Methods => Ok(answer::methods(self.as_json)),
        };
        match text {
            Ok(text) => {
                io::stdout().write_all(text.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(failure::explain(&error, show.is_quiet())),
        }
    }

    fn tell_checked(
        &self,
        checked: Result<Checked, BuildError>,
        show: &Show,
        place: &DockerfilePlace,
    ) -> ExitCode {
        let checked = match checked {
            Ok(checked) => Checked { file: place.of(&checked.file), ..checked },
            Err(error) => return failure::explain(&error, show.is_quiet()),
        };
        let text = match self.as_json {
            true => answer::checked_json(&checked),
            false => answer::checked(&checked),
        };
        // If nobody reads it, the exit code still says it.
        let _ = io::stdout().write_all(text.as_bytes());
        if checked.error.is_some() {
            let _ = io::stderr().write_all(answer::check_error(&checked).as_bytes());
        }
        let is_fine = checked.error.is_none() && checked.findings.is_empty();
        match is_fine || self.ignores_status && checked.error.is_none() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Where the Dockerfile is, as the user says it.
pub enum DockerfilePlace {
    /// `-f`, or standard input.
    Named(String),
    /// In the context.
    Below(String),
}

impl DockerfilePlace {
    pub fn new(file: Option<&str>, context: &str) -> DockerfilePlace {
        match (file, context) {
            (Some("-"), _) | (None, "-") => DockerfilePlace::Named("stdin".to_owned()),
            (Some(file), _) => DockerfilePlace::Named(file.to_owned()),
            (None, context) => DockerfilePlace::Below(context.to_owned()),
        }
    }

    fn of(&self, name: &str) -> String {
        match self {
            DockerfilePlace::Named(file) => file.clone(),
            DockerfilePlace::Below(context) => {
                let path = Path::new(context).join(name);
                let parts = path.components().filter(|part| *part != Component::CurDir);
                parts.collect::<std::path::PathBuf>().display().to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(call: &str) -> Result<Option<(About, bool, bool)>, String> {
        let question = Call { call: call.to_owned(), check: false }.question();
        let question = question.map_err(|error| error.to_string())?;
        Ok(question.map(|question| (question.about, question.as_json, question.ignores_status)))
    }

    #[test]
    fn a_call_names_a_method_and_how_its_answer_looks() {
        assert_eq!(asked("build"), Ok(None));
        assert_eq!(asked("check"), Ok(Some((About::Check, false, false))));
        assert_eq!(asked("lint,format=json,ignorestatus=true"), Ok(Some((About::Check, true, true))));
        assert_eq!(asked("outline,format=text"), Ok(Some((About::Outline, false, false))));
        assert_eq!(asked("check,foo"), Err("invalid print value: check,foo".into()));
        assert_eq!(asked("check,foo=1"), Err("invalid print field: foo=1".into()));
        assert_eq!(asked("zz"), Err("unsupported request frontend.zz".into()));
    }

    #[test]
    fn the_dockerfile_is_named_as_the_user_names_it() {
        let name = |file, context| DockerfilePlace::new(file, context).of("Dockerfile");
        assert_eq!(name(None, "."), "Dockerfile");
        assert_eq!(name(None, "./x/"), "x/Dockerfile");
        assert_eq!(name(Some("x/My.Dockerfile"), "x"), "x/My.Dockerfile");
        assert_eq!(name(Some("-"), "."), "stdin");
    }
}
