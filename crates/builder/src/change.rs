//! Single instructions that change an image's configuration, as `commit --change` and `import --change` take them.

use image::{Configuration, Image};
use types::{Digest, Platform, Reference};

use crate::{
    config,
    diagnostic::Problem,
    host::HostError,
    parse,
    plan::{PlanError, Planner, Settings},
    recipe::Recipe,
};

/// The configuration that instructions make of `base`. Those that would change files are refused.
pub fn change(base: &Configuration, instructions: &[String]) -> Result<Configuration, Problem> {
    for instruction in instructions {
        let keyword = instruction.split_whitespace().next().unwrap_or_default();
        if !ALLOWED.contains(&keyword.to_lowercase().as_str()) {
            return Err(Problem::new(format!("{keyword} is not a valid change command"), 0..0));
        }
    }
    // Its triggers are for builds, and this is none.
    let mut plain = base.clone();
    let triggers = std::mem::take(&mut plain.config.on_build);
    let find = |_: &Reference, _: &Platform| -> Result<Image, HostError> {
        let id = Digest::of(b"base");
        Ok(Image { manifest: id, id, config: plain.clone(), layers: Vec::new() })
    };
    let dockerfile = parse::parse(&format!("FROM base\n{}\n", instructions.join("\n")))?;
    let recipe = Recipe::read(&dockerfile)?;
    let settings = Settings::default();
    let planner = Planner::new(&find, &settings, &dockerfile.directives, &recipe);
    let graph = planner.plan().map_err(|error| match error {
        PlanError::Problem(problem) => problem,
        PlanError::Base(error, span) => Problem::new(error.to_string(), span),
    })?;
    let mut changed = graph.config;
    changed.config.on_build.splice(0..0, triggers);
    // What a build adds to every image is no change that anybody asked for.
    if config::variable(&base.config, "PATH").is_none()
        && !instructions.iter().any(|instruction| instruction.contains("PATH"))
    {
        changed.config.env.retain(|entry| !entry.starts_with("PATH="));
    }
    Ok(changed)
}

const ALLOWED: [&str; 11] = [
    "cmd",
    "entrypoint",
    "env",
    "expose",
    "healthcheck",
    "label",
    "onbuild",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

#[cfg(test)]
mod tests {
    use image::config::Execution;

    use super::*;

    fn changed(instructions: &[&str]) -> Result<Execution, String> {
        let mut base = Configuration::default();
        base.config.env = vec!["A=1".to_owned()];
        base.config.on_build = vec!["RUN true".to_owned()];
        base.config.cmd = Some(vec!["sh".to_owned()]);
        let instructions: Vec<String> = instructions.iter().map(|text| (*text).to_owned()).collect();
        change(&base, &instructions).map(|changed| changed.config).map_err(|problem| problem.message)
    }

    #[test]
    fn instructions_change_what_they_name_and_nothing_else() {
        let config = changed(&[
            "CMD [\"top\"]",
            "ENV B=$A",
            "label a=\"b c\"",
            "EXPOSE 80",
            "ONBUILD RUN false",
            "USER nobody",
            "VOLUME /data",
            "WORKDIR /srv",
        ]);
        let config = config.unwrap();
        assert_eq!(config.cmd.unwrap(), ["top"]);
        assert_eq!(config.env, ["A=1", "B=1"]);
        assert_eq!(config.labels["a"], "b c");
        assert!(config.exposed_ports.0.contains("80/tcp") && config.volumes.0.contains("/data"));
        assert_eq!(config.on_build, ["RUN true", "RUN false"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("nobody", "/srv"));
        assert_eq!(changed(&[]).unwrap().cmd.unwrap(), ["sh"]);
    }

    #[test]
    fn what_would_change_files_is_refused() {
        assert_eq!(changed(&["RUN true"]).unwrap_err(), "RUN is not a valid change command");
        assert_eq!(changed(&["COPY a b"]).unwrap_err(), "COPY is not a valid change command");
        assert_eq!(changed(&["NOSUCH x"]).unwrap_err(), "NOSUCH is not a valid change command");
    }
}
