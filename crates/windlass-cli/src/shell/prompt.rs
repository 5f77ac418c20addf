//! The line editor: prompt, history and key bindings.

use std::{borrow::Cow, path::PathBuf};

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultHinter, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder,
    Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline,
    ReedlineEvent, ReedlineMenu, Signal, default_emacs_keybindings,
};

use super::words::{Names, SqlCompleter, SqlHighlighter, UntilSemicolon};
use crate::{
    engine::note,
    error::{Error, Result},
    output::use_color,
};

/// Statements kept in the history file; what other database shells keep by default.
const HISTORY: usize = 1000;
const MENU: &str = "completion";

/// What the user did.
pub(super) enum Read {
    /// Entered a text.
    Text(String),
    /// Gave up on a line with Ctrl-C.
    Cleared,
    /// Left with Ctrl-D.
    End,
}

/// Reads statements with editing, completion and history.
pub(super) struct Editor {
    line: Reedline,
}

impl Editor {
    /// An editor that completes `names`.
    pub(super) fn new(names: Names) -> Self {
        let mut keys = default_emacs_keybindings();
        keys.add_binding(
            KeyModifiers::NONE,
            KeyCode::Tab,
            ReedlineEvent::UntilFound(vec![
                ReedlineEvent::Menu(MENU.to_string()),
                ReedlineEvent::MenuNext,
            ]),
        );
        let menu = ColumnarMenu::default().with_name(MENU).with_marker("> ");
        let mut line = Reedline::create()
            .with_completer(Box::new(SqlCompleter(names)))
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
            .with_quick_completions(true)
            .with_partial_completions(true)
            .with_validator(Box::new(UntilSemicolon))
            .with_edit_mode(Box::new(Emacs::new(keys)))
            .with_ansi_colors(use_color());
        if use_color() {
            let hint = Style::new().fg(Color::DarkGray);
            line = line
                .with_highlighter(Box::new(SqlHighlighter))
                .with_hinter(Box::new(DefaultHinter::default().with_style(hint)));
        }
        match history() {
            Ok(history) => line = line.with_history(Box::new(history)),
            Err(why) => note(&format!("no history is kept: {why}")),
        }
        Self { line }
    }

    /// Reads until a statement is complete.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn read(&mut self) -> Result<Read> {
        let signal = self
            .line
            .read_line(&SqlPrompt)
            .map_err(|e| Error::caused("cannot read from the terminal", &e))?;
        Ok(match signal {
            Signal::Success(text) => {
                // A history that cannot be written is no reason to stop.
                let _ = self.line.sync_history();
                Read::Text(text)
            }
            Signal::CtrlC => Read::Cleared,
            _ => Read::End,
        })
    }
}

fn history() -> Result<FileBackedHistory, String> {
    let path = history_path().ok_or("no folder for user data is known")?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    FileBackedHistory::with_file(HISTORY, path).map_err(|e| e.to_string())
}

fn history_path() -> Option<PathBuf> {
    Some(dirs::data_dir()?.join("windlass").join("history.sql"))
}

struct SqlPrompt;

impl Prompt for SqlPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "windlass".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "       -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let found = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing ",
        };
        format!("({found}found for {:?}) ", search.term).into()
    }
}
