//! What of a list of steps fits on a terminal.

use anstyle::Style;

use crate::output::human::display_width;

/// A line as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub style: Style,
}

impl Line {
    pub fn plain(text: String) -> Line {
        Line { text, style: Style::new() }
    }

    pub fn styled(&self) -> String {
        format!("{style}{text}{style:#}", style = self.style, text = self.text)
    }

    /// In columns.
    pub fn width(&self) -> usize {
        display_width(&self.text)
    }
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub line: Line,
    pub is_running: bool,
    /// Lines that belong below it.
    pub below: Vec<Line>,
}

/// Those of `rows` that are shown on `room` lines: the last ones, and of those before what still runs instead of what
/// is done.
pub fn fitting(rows: Vec<Row>, room: usize) -> Vec<Row> {
    let Some(cut) = rows.len().checked_sub(room) else { return rows };
    let mut above = rows;
    let mut shown = above.split_off(cut);
    above.retain(|row| row.is_running);
    // As many of the shown ones that are done, the oldest first, make room.
    let mut missing = above.len();
    shown.retain(|row| {
        let stays = row.is_running || missing == 0;
        missing -= usize::from(!stays);
        stays
    });
    above.drain(..missing);
    above.extend(shown);
    above
}

/// Which of the programs that run show the end of their output, given how much each wrote. A terminal of `height` lines
/// has `running` steps on it in any case.
pub fn speakers(wrote: &[usize], height: usize, running: usize, lines: usize) -> Vec<usize> {
    let mut by_amount: Vec<usize> = (0..wrote.len()).filter(|index| wrote[*index] > 0).collect();
    by_amount.sort_by_key(|index| std::cmp::Reverse(wrote[*index]));
    let mut free = height.saturating_sub(2 + running);
    by_amount.retain(|_| {
        let fits = free > lines;
        free = free.saturating_sub(lines);
        fits
    });
    by_amount
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Running steps are written in capitals.
    fn check(list: &str, room: usize, expected: &str) {
        let row = |c: char| {
            let line = Line::plain(c.into());
            Row { line, is_running: c.is_uppercase(), below: Vec::new() }
        };
        let shown: String =
            fitting(list.chars().map(row).collect(), room).into_iter().map(|row| row.line.text).collect();
        assert_eq!(shown, expected, "{list} on {room} lines");
    }

    #[test]
    fn the_newest_are_shown_and_those_that_run() {
        check("abc", 5, "abc");
        check("abcde", 3, "cde");
        check("aBcde", 3, "Bde");
        check("ABcdE", 3, "ABE");
        check("ABCDE", 3, "CDE");
        check("ABCDe", 3, "BCD");
        check("abc", 0, "");
    }

    #[test]
    fn the_most_talkative_show_their_output_where_there_is_room() {
        assert_eq!(speakers(&[5, 0, 9], 40, 3, 6), [2, 0]);
        assert_eq!(speakers(&[5, 0, 9], 13, 3, 6), [2]);
        assert_eq!(speakers(&[5, 0, 9], 11, 3, 6), Vec::<usize>::new());
    }
}
