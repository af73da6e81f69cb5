//! The colours of progress, which are the user's to choose.

use anstyle::{Ansi256Color, AnsiColor, Color, RgbColor, Style};

/// How lines of a live view look; all of it plain text where colours are not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// What is done.
    pub run: Style,
    /// What was ended because something else failed.
    pub cancel: Style,
    pub error: Style,
    pub warning: Style,
    /// What programs write.
    pub output: Style,
}

impl Palette {
    /// What the environment asks for: no colours if `NO_COLOR` has a value (<https://no-color.org>), else BuildKit's,
    /// changed by `BUILDKIT_COLORS`: `run=green:error=light-red:cancel=200,200,0`. What it gets wrong is left as it was.
    pub fn chosen(no_color: Option<&str>, buildkit_colors: Option<&str>) -> Palette {
        if no_color.is_some_and(|value| !value.is_empty()) {
            return Palette::none();
        }
        let mut palette = Palette {
            run: AnsiColor::Blue.on_default(),
            cancel: AnsiColor::Yellow.on_default(),
            error: AnsiColor::Red.on_default(),
            warning: AnsiColor::Yellow.on_default(),
            output: Style::new().dimmed(),
        };
        for part in buildkit_colors.unwrap_or_default().split(':') {
            let Some((what, colour)) = part.split_once('=') else { continue };
            let Some(style) = style(colour) else { continue };
            match what {
                "run" => palette.run = style,
                "cancel" => palette.cancel = style,
                "error" => palette.error = style,
                "warning" => palette.warning = style,
                _ => {}
            }
        }
        palette
    }

    /// Plain text.
    pub fn none() -> Palette {
        let plain = Style::new();
        Palette { run: plain, cancel: plain, error: plain, warning: plain, output: plain }
    }
}

/// A colour's name, or its red, green and blue from 0 to 255.
fn style(text: &str) -> Option<Style> {
    let numbers: Vec<Option<u8>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let colour: Color = match (numbers.as_slice(), text.to_lowercase().as_str()) {
        ([Some(red), Some(green), Some(blue)], _) => RgbColor(*red, *green, *blue).into(),
        ([Some(index)], _) => Ansi256Color(*index).into(),
        (_, "default") => return Some(Style::new()),
        (_, "black") => AnsiColor::Black.into(),
        (_, "red") => AnsiColor::Red.into(),
        (_, "green") => AnsiColor::Green.into(),
        (_, "yellow") => AnsiColor::Yellow.into(),
        (_, "blue") => AnsiColor::Blue.into(),
        (_, "magenta") => AnsiColor::Magenta.into(),
        (_, "cyan") => AnsiColor::Cyan.into(),
        (_, "white") => AnsiColor::White.into(),
        (_, "light-black") => AnsiColor::BrightBlack.into(),
        (_, "light-red") => AnsiColor::BrightRed.into(),
        (_, "light-green") => AnsiColor::BrightGreen.into(),
        (_, "light-yellow") => AnsiColor::BrightYellow.into(),
        (_, "light-blue") => AnsiColor::BrightBlue.into(),
        (_, "light-magenta") => AnsiColor::BrightMagenta.into(),
        (_, "light-cyan") => AnsiColor::BrightCyan.into(),
        (_, "light-white") => AnsiColor::BrightWhite.into(),
        _ => return None,
    };
    Some(Style::new().fg_color(Some(colour)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_chosen_colours() {
        assert_eq!(Palette::chosen(Some("1"), Some("run=green")), Palette::none());
        assert_ne!(Palette::chosen(Some(""), None), Palette::none());
    }

    #[test]
    fn chosen_colours_replace_buildkits_and_mistakes_do_not() {
        let usual = Palette::chosen(None, None);
        let chosen =
            Palette::chosen(None, Some("run=green:error=1,2,3:cancel=ultraviolet:nonsense:warning=1,2"));
        assert_eq!(chosen.run, AnsiColor::Green.on_default());
        assert_eq!(chosen.error, Style::new().fg_color(Some(RgbColor(1, 2, 3).into())));
        assert_eq!((chosen.cancel, chosen.warning), (usual.cancel, usual.warning));
    }
}
