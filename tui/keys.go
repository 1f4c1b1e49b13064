package tui

import "charm.land/bubbles/v2/key"

// KeyMap is every key of the screen. The help and the line at the foot are made from it.
type KeyMap struct {
	Freeze, Hold, Pause, More, Less, Next, Mark, Stop, Write key.Binding
	Narrow, Wide, Earlier, Later                             key.Binding
	Panel, NextPanel, LastPanel                              key.Binding
	Up, Down, PageUp, PageDown, Top, Bottom, Open, Back      key.Binding
	Filter, Order                                            key.Binding
	Add, Drain                                               key.Binding
	Help, Quit, Interrupt, Suspend                           key.Binding
}

func bind(help, does string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(help, does))
}

// Keys is the map that holds.
var Keys = KeyMap{
	Freeze: bind("space", "freeze the picture; the data goes on", "space", " "),
	Hold:   bind("p", "hold the load where it is, or go on", "p"),
	Pause:  bind("P", "pause the load to zero (asks), or go on", "P"),
	More:   bind("+", "10 % more load", "+", "="),
	Less:   bind("-", "10 % less load", "-", "_"),
	Next:   bind("n", "go to the next stage", "n"),
	Mark:   bind("m", "put a mark into the record, with a text", "m"),
	Stop:   bind("s", "stop: begin nothing new, finish what runs", "s"),
	Write:  bind("w", "write a report of the run so far", "w"),

	Narrow:  bind("[", "shorter time window", "["),
	Wide:    bind("]", "longer time window", "]"),
	Earlier: bind("← h", "earlier", "left", "h"),
	Later:   bind("→ l", "later, up to now", "right", "l"),

	Panel:     bind("1..7", "choose a panel", "1", "2", "3", "4", "5", "6", "7"),
	NextPanel: bind("tab", "next panel", "tab"),
	LastPanel: bind("shift+tab", "panel before", "shift+tab"),

	Up:       bind("↑ k", "up", "up", "k"),
	Down:     bind("↓ j", "down", "down", "j"),
	PageUp:   bind("pgup ctrl+u", "a page up", "pgup", "ctrl+u"),
	PageDown: bind("pgdn ctrl+d", "a page down", "pgdown", "ctrl+d"),
	Top:      bind("g home", "first row", "g", "home"),
	Bottom:   bind("G end", "last row", "G", "end"),
	Open:     bind("enter", "open the row", "enter"),
	Back:     bind("esc", "back: closes help, filter, detail; to now", "esc"),

	Add:   bind("a", "panel 6: a peer joins the run", "a"),
	Drain: bind("x", "panel 6: the selected source leaves (asks)", "x", "X"),

	Filter: bind("/", "filter the rows", "/"),
	Order:  bind("o", "order of the rows, or of the picture", "o"),

	Help:      bind("?", "this help", "?"),
	Quit:      bind("q", "quit (asks), twice: end at once", "q"),
	Interrupt: bind("ctrl+c", "stop and leave; twice: end it at once", "ctrl+c"),
	Suspend:   bind("ctrl+z", "to the shell, and the load stands still", "ctrl+z"),
}

// Groups are the keys as the help shows them.
func (k KeyMap) Groups() []Group {
	return []Group{
		{"The load", []key.Binding{k.Hold, k.Pause, k.More, k.Less, k.Next, k.Stop, k.Add, k.Drain}},
		{"The picture", []key.Binding{k.Freeze, k.Narrow, k.Wide, k.Earlier, k.Later, k.Mark, k.Write}},
		{"Rows", []key.Binding{k.Up, k.Down, k.PageUp, k.PageDown, k.Top, k.Bottom, k.Open, k.Back, k.Filter, k.Order}},
		{"The screen", []key.Binding{k.Panel, k.NextPanel, k.LastPanel, k.Help, k.Quit, k.Interrupt, k.Suspend}},
	}
}

// Group is a titled list of keys.
type Group struct {
	Title string
	Keys  []key.Binding
}
