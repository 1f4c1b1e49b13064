package scenario

// What a scenario file will be able to say one day, but cannot yet. Such keys are refused by name rather than as unknown
// ones; each sentence has what to do instead after the semicolon.
var (
	laterInFile = map[string]string{
		"data":     "`data:` feeds are not in this version; put fixed values under vars:, or make them with {{uuid}} and {{randomInt 1 500}}",
		"knee":     "`knee:` the search for the knee is not in this version; ramp the rate through it with stages under load: and read the curve",
		"auth":     "`auth:` renewal of a login is not in this version; log in under setup: and extract the token there",
		"on_error": "`on_error:` is not in this version; an iteration goes on after an error, and ends when a value without default is missing",
	}
	laterInScenario = map[string]string{
		"auth":     laterInFile["auth"],
		"on_error": laterInFile["on_error"],
		"if":       laterInStep["if"],
		"repeat":   laterInStep["repeat"],
		"one_of":   laterInStep["one_of"],
		"parallel": laterInStep["parallel"],
		"data":     laterInFile["data"],
	}
	laterInStep = map[string]string{
		"retry":     "`retry:` is not in this version; each request is sent once, and a failure counts as an error",
		"if":        "`if:` is not in this version; make two scenarios and choose with their weights",
		"repeat":    "`repeat:` is not in this version; write the step as often as it is to run",
		"one_of":    "`one_of:` is not in this version; make a scenario of each choice and give it a weight",
		"parallel":  "`parallel:` is not in this version; write its steps one after the other",
		"multipart": "`multipart:` bodies are not in this version; write the body into a file and name it under body_file:, with a Content-Type header",
		"auth":      laterInFile["auth"],
		"on_error":  laterInFile["on_error"],
		"ws":        "`ws:` WebSocket steps are not in this version; steps are HTTP requests such as get: /path",
		"sse":       "`sse:` event streams are not in this version; steps are HTTP requests such as get: /path",
		"grpc":      "`grpc:` steps are not in this version; steps are HTTP requests such as get: /path",
	}
	laterInExtract = map[string]string{
		"css":   "`css:` selectors are not in this version; use a regular expression such as /name=\"csrf\" value=\"([^\"]+)\"/",
		"xpath": "`xpath:` is not in this version; use a regular expression, or a JSON path such as $.token",
	}
	laterInCheck = map[string]string{
		"css":   "`css:` checks are not in this version; use contains: or matches:",
		"xpath": "`xpath:` checks are not in this version; use contains: or matches:",
	}
	laterVersions = map[string]string{
		"2":   "HTTP version 2 is not in this version; write auto or 1.1",
		"h2c": "HTTP version h2c is not in this version; write auto or 1.1",
		"3":   "HTTP version 3 is not in this version; write auto or 1.1",
	}
)
