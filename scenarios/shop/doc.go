// Package shop is the bundled target: a small web shop behind a queue whose arithmetic is known.
//
// A load tester can be trusted when its figures agree with a truth that does not come from itself. The shop provides
// one: its pages stand behind a station, an M/G/c queue with a bounded waiting room, whose departures are computed from
// the arrivals and never measured. Timers only release answers that the arithmetic has already dated, so a late timer
// or a busy machine delays one answer and shifts no other, and the capacity is servers / mean service time whatever the
// scheduler does.
//
//	request --> read whole --> station.room? --no--> 503 at once
//	                               | yes
//	                               v
//	                 start = max(arrival, earliest free server)
//	                 departure = start + service(seed, number)  --> timer --> 500 (Errors), or the page
//
// In order of use: a Config says what the target can do (Validate names everything wrong with it), New makes a Server,
// Serve answers on a listener until Shutdown or Close. The Server is an http.Handler too; without Serve it knows nothing
// about connections and their figures stay 0.
//
// # Pages
//
//	GET  /                home, HTML
//	POST /api/login       JSON email, password; a cookie session=TOKEN and JSON token, csrf
//	GET  /products?page=  JSON list, 20 a page
//	GET  /products/{id}   HTML, or JSON where Accept prefers it: id, name, price, stock, csrf
//	GET  /search?q=       JSON list, at most 20
//	GET  /cart            JSON; 401 without a session
//	POST /cart            form id, csrf; 201; 401 without a session, 403 without its csrf
//	POST /checkout        JSON; empties the cart; 409 if it is empty
//	POST /logout          204
//
// The session is the cookie or "Authorization: Bearer TOKEN". An answer that passed the station carries a Server-Timing
// field with the computed waiting and service time in milliseconds.
//
// # Counts
//
// GET /stats answers with Stats as JSON, GET /healthz with 204; both pass by the station and are not counted. DELETE
// /stats answers with the counts so far and begins a new Epoch.
//
// Equal seeds and equal sequences of requests give equal service times, errors, session tokens and order numbers.
package shop
