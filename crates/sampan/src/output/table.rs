//! Docker's table layout: rows of cells, aligned.

use super::human::display_width;

/// Columns of listings are at least this wide, their padding included.
pub const MINIMUM_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Lays out a header and rows. Every line is as docker prints it: cells padded to the column's width, the
/// last one left as it is, so a line ends in spaces only where its last cell is empty.
pub fn table<R: AsRef<[String]>>(header: &[&str], rows: &[R]) -> String {
    let mut text = header.join("\t") + "\n";
    for row in rows {
        text.push_str(&row.as_ref().join("\t"));
        text.push('\n');
    }
    align(&text, MINIMUM_WIDTH)
}

/// Aligns text whose cells end in tabs, in columns at least `minimum` wide.
///
/// As in Go's `text/tabwriter`, a column is a run of neighbouring lines that have a tab-terminated cell at the same place; what follows
/// the last tab of a line belongs to no column.
pub fn align(text: &str, minimum: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split_inclusive('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| Vec::with_capacity(cells.len())).collect();
    let columns = lines.iter().map(|cells| cells.len() - 1).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let run = lines[start..].iter().take_while(|cells| column + 1 < cells.len()).count();
            let block = start..start + run;
            let content = lines[block.clone()].iter().map(|cells| display_width(cells[column])).max();
            let width = minimum.max(content.unwrap_or(0) + PADDING);
            widths[block].iter_mut().for_each(|line| line.push(width));
            start += run.max(1);
        }
    }
    let mut aligned = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        for (cell, width) in cells.iter().zip(widths) {
            aligned.push_str(cell);
            aligned.extend(std::iter::repeat_n(' ', width - display_width(cell)));
        }
        aligned.push_str(cells.last().expect("a split has at least one part"));
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &[&str], rows: &[&[&str]], expected: &str) {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        assert_eq!(table(header, &rows), expected);
    }

    #[test]
    fn short_columns_are_ten_wide() {
        check(&["DRIVER", "VOLUME NAME"], &[&["local", "data"]], "DRIVER    VOLUME NAME\nlocal     data\n");
    }

    #[test]
    fn long_cells_widen_their_column_by_three_spaces() {
        check(
            &["NETWORK ID", "NAME", "DRIVER", "SCOPE"],
            &[
                &["bbbbbbbbbbbb", "a_rather_long_network", "bridge", "local"],
                &["aaaaaaaaaaaa", "bridge", "bridge", "local"],
            ],
            "NETWORK ID     NAME                    DRIVER    SCOPE\n\
             bbbbbbbbbbbb   a_rather_long_network   bridge    local\n\
             aaaaaaaaaaaa   bridge                  bridge    local\n",
        );
    }

    #[test]
    fn an_empty_cell_inside_a_line_leaves_its_width_and_at_the_end_nothing() {
        check(
            &["NAMES", "PORTS", "STATUS"],
            &[&["web", "", "Up"], &["x", "80/tcp", ""]],
            "NAMES     PORTS     STATUS\nweb                 Up\nx         80/tcp    \n",
        );
    }

    #[test]
    fn wide_characters_count_twice() {
        check(&["NAMES", "STATE"], &[&["日本", "up"]], "NAMES     STATE\n日本      up\n");
    }

    #[test]
    fn a_line_without_the_cell_begins_a_new_block() {
        assert_eq!(
            align("a long first cell\tb\nno tab\nx\ty\n", MINIMUM_WIDTH),
            "a long first cell   b\nno tab\nx         y\n"
        );
    }
}
