//! What FROM makes of arguments: InvalidDefaultArgInFrom, UndefinedArgInFrom, RedundantTargetPlatform,
//! FromPlatformFlagConstDisallowed, InvalidBaseImagePlatform.

use std::collections::BTreeMap;

use types::{Platform, Reference};

use super::{
    Circumstances, Findings, Globals, Visit,
    rule::{
        FROM_PLATFORM_FLAG_CONST_DISALLOWED, INVALID_BASE_IMAGE_PLATFORM, INVALID_DEFAULT_ARG_IN_FROM,
        REDUNDANT_TARGET_PLATFORM, UNDEFINED_ARG_IN_FROM,
    },
    scope::Expanded,
    walk::Base,
};
use crate::{
    diagnostic::nearest,
    parse::Dockerfile,
    recipe::{Recipe, StageRecipe},
};

/// Whether the bases have names if nobody gives arguments other values.
pub fn check_defaults(
    recipe: &Recipe,
    dockerfile: &Dockerfile,
    circumstances: &Circumstances<'_>,
    findings: &mut Findings<'_>,
) {
    let defaults = Globals::given(recipe, dockerfile, circumstances, &BTreeMap::new());
    for stage in &recipe.stages {
        let written = &stage.from.image.text;
        let Some(image) = defaults.scope.expand(written, dockerfile.directives.escape).text else { return };
        if image.parse::<Reference>().is_err() {
            let message =
                format!("Default value for ARG {written} results in empty or invalid base image name");
            findings.add(&INVALID_DEFAULT_ARG_IN_FROM, &stage.statement, message);
        }
    }
}

pub fn check(recipe: &Recipe, dockerfile: &Dockerfile, globals: &Globals, findings: &mut Findings<'_>) {
    let escape = dockerfile.directives.escape;
    for stage in &recipe.stages {
        let image = globals.scope.expand(&stage.from.image.text, escape);
        check_declared(stage, &image, globals, findings);
        let Some(flag) = stage.from.platform.as_ref().filter(|word| !word.text.is_empty()) else { continue };
        let platform = globals.scope.expand(&flag.text, escape);
        check_declared(stage, &platform, globals, findings);
        let Some(value) = &platform.text else { continue };
        match platform.used.as_slice() {
            [(name, true)]
                if name == "TARGETPLATFORM" && globals.scope.value(name) == Some(value.as_str()) =>
            {
                let written = &flag.text;
                let message = format!(
                    "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
                );
                findings.add(&REDUNDANT_TARGET_PLATFORM, &stage.statement, message);
            }
            [] => check_constant(stage, value, findings),
            _ => {}
        }
    }
}

fn check_declared(stage: &StageRecipe, expanded: &Expanded, globals: &Globals, findings: &mut Findings<'_>) {
    let declared = || {
        let arguments = globals.arguments.iter().map(|argument| argument.name.as_str());
        arguments.chain(globals.scope.names())
    };
    for (name, _) in &expanded.used {
        if declared().any(|known| known == name) {
            continue;
        }
        let meant = match nearest(name, declared()) {
            Some(known) => format!(" (did you mean {known}?)"),
            None => String::new(),
        };
        let message = format!("FROM argument '{name}' is not declared{meant}");
        findings.add(&UNDEFINED_ARG_IN_FROM, &stage.statement, message);
    }
}

/// A stage may be for one platform if it says so in its name.
fn check_constant(stage: &StageRecipe, value: &str, findings: &mut Findings<'_>) {
    let Ok(platform) = value.parse::<Platform>() else { return };
    let name = stage.from.name.as_deref().unwrap_or_default();
    if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
        let message = format!("FROM --platform flag should not use constant value {value:?}");
        findings.add(&FROM_PLATFORM_FLAG_CONST_DISALLOWED, &stage.statement, message);
    }
}

/// Whether the image that was found is for the platform that was asked for.
pub fn check_base(visit: &Visit<'_>, findings: &mut Findings<'_>) {
    let Some((Base::Image { written, platform, .. }, Some(image))) = visit.base else { return };
    if image.os == platform.os && image.architecture == platform.architecture {
        return;
    }
    let variant = Some(image.variant.clone()).filter(|variant| !variant.is_empty());
    let actual = Platform { os: image.os.clone(), architecture: image.architecture.clone(), variant };
    let message = format!(
        "Base image {written} was pulled with platform {:?}, expected {:?} for current build",
        actual.to_string(),
        platform.to_string()
    );
    visit.add(&INVALID_BASE_IMAGE_PLATFORM, message, findings);
}

#[cfg(test)]
mod tests {
    use crate::lint::testing::{check, check_with};

    #[test]
    fn from_uses_what_is_declared() {
        check("ARG base=scratch\nFROM $base", &[]);
        check("ARG DEBUG\nFROM scratch${DEBUG}", &[]);
        check("FROM --platform=$BUILDPLATFORM scratch", &[]);
        check(
            "FROM --platform=linux/$BULIDARCH base",
            &[
                "UndefinedArgInFrom: FROM argument 'BULIDARCH' is not declared (did you mean BUILDARCH?) (line 1)",
            ],
        );
        check(
            "ARG tag=latest\nFROM base:${tag}${version} AS b",
            &["UndefinedArgInFrom: FROM argument 'version' is not declared (line 2)"],
        );
    }

    #[test]
    fn a_base_has_a_name_by_default() {
        let found = |written: &str| {
            format!(
                "InvalidDefaultArgInFrom: Default value for ARG {written} results in empty or invalid base image \
                 name (line 2)"
            )
        };
        check_with(&[("V", "latest")], "ARG V\nFROM base:$V", &[found("base:$V").as_str()]);
        check_with(&[("I", "base")], "ARG I\nFROM $I", &[found("$I").as_str()]);
        check_with(&[("V", "-x")], "ARG V=\nFROM base:stable$V", &[]);
        check_with(&[("V", "x")], "ARG V=latest\nFROM base:$V", &[]);
    }

    #[test]
    fn the_platform_is_neither_redundant_nor_constant() {
        let redundant = |written: &str| {
            format!(
                "RedundantTargetPlatform: Setting platform to predefined {written} in FROM is redundant as this is \
                 the default behavior (line 1)"
            )
        };
        check("FROM --platform=$TARGETPLATFORM scratch", &[redundant("$TARGETPLATFORM").as_str()]);
        check("FROM --platform=${TARGETPLATFORM} scratch", &[redundant("${TARGETPLATFORM}").as_str()]);
        check("FROM --platform=linux/$TARGETARCH scratch", &[]);
        check(
            "FROM --platform=linux/amd64 scratch",
            &["FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \
               \"linux/amd64\" (line 1)"],
        );
        check("FROM --platform=linux/amd64 scratch AS my_amd64_stage", &[]);
        check("FROM --platform=linux/amd64 scratch AS linux", &[]);
    }

    #[test]
    fn an_image_for_another_platform_is_told() {
        check(
            "FROM other-platform",
            &[
                "InvalidBaseImagePlatform: Base image other-platform was pulled with platform \"plan9/mips\", \
               expected \"linux/amd64\" for current build (line 1)",
            ],
        );
    }
}
