// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// flame.js - zoom and search in a flame graph made by bstack. data is what flame.c writes: all
// frames, parents before children. Only frames wide enough to be seen become elements.
function flame(data) {
	"use strict";
	var script = document.currentScript;
	var all = document.querySelectorAll("svg.bstack-flame");
	var svg = script && script.closest ? script.closest("svg") : all[all.length - 1];
	var isPage = document.documentElement === svg;
	var XHTML = "http://www.w3.org/1999/xhtml";
	var count = data.frames.length / 4;
	var depth = new Int32Array(count), name = new Int32Array(count), end = new Int32Array(count);
	var start = new Float64Array(count), total = new Float64Array(count);
	var width = data.width, height = Number(svg.getAttribute("height"));
	var zoomed = 0, isNameFound = null, ignoreCase = false;
	var live, input, found, resetButton, caseButton, failed = false;

	function part(cls) {
		return svg.querySelector("." + cls);
	}

	function make(tag, attributes, text) {
		var el = document.createElementNS(svg.namespaceURI, tag);
		Object.keys(attributes).forEach(function (key) {
			el.setAttribute(key, attributes[key]);
		});
		if (text !== undefined)
			el.textContent = text;
		return el;
	}

	// Where frames begin, and where in the list what is above each of them ends.
	function unpack() {
		var ends = [0], path = [], i, k, d;
		for (i = 0, k = 0; i < count; i++) {
			d = depth[i] = data.frames[k++];
			start[i] = (ends[d] || 0) + data.frames[k++];
			total[i] = data.frames[k++];
			name[i] = data.frames[k++];
			ends[d] = start[i] + total[i];
			ends[d + 1] = start[i];
			for (; path.length > d; path.pop())
				end[path[path.length - 1]] = i;
			path.push(i);
		}
		for (; path.length; path.pop())
			end[path[path.length - 1]] = count;
		data.frames = null;
	}

	function number(n) {
		return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
	}

	// As the rest of bstack does it: 0 and 100 only when it is nothing and all.
	function percent(n, whole) {
		var pct = 100 * n / whole;
		if (n > 0 && pct < 0.01)
			pct = 0.01;
		if (n < whole && pct > 99.99)
			pct = 99.99;
		return pct.toFixed(2) + " %";
	}

	function amount(n) {
		return number(n) + " " + (n === 1 && data.unit === "samples" ? "sample" : data.unit);
	}

	function kindOf(i) {
		return Number(data.kinds[2 * name[i]]);
	}

	function color(i) {
		if (isNameFound && isNameFound[name[i]])
			return "#d63ad6";
		return data.colors[kindOf(i) * data.shades + Number(data.kinds[2 * name[i] + 1])];
	}

	function describe(i) {
		var text = data.names[name[i]] + " (" + amount(total[i]) + ", " +
			percent(total[i], total[0]);
		if (zoomed)
			text += "; " + percent(Math.min(total[i], total[zoomed]), total[zoomed]) +
				" of the zoomed";
		return text + ")";
	}

	function y(i) {
		return data.head + data.row * (data.isInverted ? depth[i] : data.depthMax - depth[i]);
	}

	function fit(text, w) {
		var room = Math.floor((w - 6) / data.charWidth), chars;
		if (room < 3)
			return "";
		if (text.length <= room)
			return text;
		chars = Array.from(text);
		return chars.length <= room ? text : chars.slice(0, room - 2).join("") + "..";
	}

	function draw(into, i, left, w, isAncestor) {
		var top = y(i), text = fit(data.names[name[i]], w), rect;
		rect = make("rect", {
			x: left.toFixed(1), y: top, height: data.row - 1, fill: color(i),
			width: (w > 2 ? w - 0.5 : Math.max(w, 0.1)).toFixed(2)
		});
		rect.bstackFrame = i;
		if (isAncestor)
			rect.setAttribute("opacity", 0.55);
		into.appendChild(rect);
		if (text)
			into.appendChild(make("text", {
				x: (left + 3).toFixed(1), y: top + 12, "pointer-events": "none"
			}, text));
	}

	// The zoomed frame as wide as the picture, what it was called by below it, what it calls above.
	function render() {
		var inner = width - 2 * data.pad, scale = inner / total[zoomed];
		var into = document.createDocumentFragment(), hidden = 0, i, w;
		for (i = 0; i < zoomed;) {
			if (end[i] > zoomed) {
				draw(into, i, data.pad, inner, true);
				i++;
			} else {
				i = end[i];
			}
		}
		for (i = zoomed; i < end[zoomed];) {
			w = total[i] * scale;
			if (w < data.minPx && i !== zoomed) {
				hidden += end[i] - i;
				i = end[i];
				continue;
			}
			draw(into, i, data.pad + (start[i] - start[zoomed]) * scale, w, false);
			i++;
		}
		live.textContent = "";
		live.appendChild(into);
		note(hidden);
		resetButton.setAttribute("visibility", zoomed ? "visible" : "hidden");
	}

	function note(hidden) {
		var text = "";
		if (hidden)
			text += number(hidden) + " frames too narrow to draw: zoom in to see them. ";
		if (data.dropped)
			text += number(data.dropped) + " frames, the narrowest, are not in this file.";
		part("bs-notes").textContent = text;
	}

	function details(text) {
		var room = Math.floor((width - 2 * data.pad) / data.charWidth) - 28;
		var chars = Array.from(text);
		if (chars.length > room)
			text = chars.slice(0, Math.max(room - 62, 8)).join("") + ".." +
				chars.slice(-60).join("");
		part("bs-details").textContent = text;
	}

	function idle() {
		details(zoomed ? describe(zoomed) :
			amount(total[0]) + ". Click a frame to zoom.");
	}

	function zoom(i) {
		zoomed = i;
		render();
		idle();
	}

	// A name that is not a regular expression is searched for as it stands.
	function matcher(pattern) {
		var flags = ignoreCase ? "i" : "";
		try {
			failed = false;
			return new RegExp(pattern, flags);
		} catch (e) {
			failed = true;
			return new RegExp(pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), flags);
		}
	}

	// Counts all frames, drawn or not; a match above a match counts once.
	function search(pattern) {
		var sum = 0, frames = 0, until = 0, re, i;
		isNameFound = null;
		if (pattern) {
			re = matcher(pattern);
			isNameFound = data.names.map(function (n) {
				return re.test(n);
			});
			for (i = 0; i < count; i++) {
				if (!isNameFound[name[i]])
					continue;
				frames++;
				if (i >= until) {
					sum += total[i];
					until = end[i];
				}
			}
		}
		found.textContent = pattern ? "matched " + percent(sum, total[0]) : "";
		if (pattern && failed)
			found.textContent += " (literally)";
		recolor();
		return { sum: sum, frames: frames, percent: 100 * sum / total[0] };
	}

	function recolor() {
		var el;
		for (el = live.firstChild; el; el = el.nextSibling)
			if (el.bstackFrame !== undefined)
				el.setAttribute("fill", color(el.bstackFrame));
	}

	function setSearch(pattern) {
		input.value = pattern;
		return search(pattern);
	}

	function toggleCase() {
		ignoreCase = !ignoreCase;
		caseButton.textContent = ignoreCase ? "aA: any case" : "aA: exact case";
		search(input.value);
	}

	function button(cls, text, action) {
		var el = make("text", { "class": "bs-button " + cls, y: 28, fill: "#555" }, text);
		el.addEventListener("click", action);
		part("bs-bar").appendChild(el);
		return el;
	}

	function addControls() {
		var box = make("foreignObject", { "class": "bs-search", y: 12, width: 190, height: 26 });
		input = document.createElementNS(XHTML, "input");
		input.setAttribute("type", "text");
		input.setAttribute("placeholder", "search (regex), Ctrl-F");
		input.setAttribute("style", "box-sizing:border-box;width:100%;height:24px;" +
			"border:1px solid #bbb;border-radius:4px;padding:2px 6px;background:#fff;" +
			"color:#222;font:12px monospace");
		input.addEventListener("input", function () {
			search(input.value);
		});
		box.appendChild(input);
		part("bs-bar").appendChild(box);
		caseButton = button("bs-case", "aA: exact case", toggleCase);
		resetButton = button("bs-reset", "reset zoom", function () {
			zoom(0);
		});
		found = make("text", { "class": "bs-found", y: 58, fill: "#a020a0",
			"text-anchor": "end" }, "");
		part("bs-bar").appendChild(found);
	}

	// As wide as the window, when the picture is the page.
	function resize() {
		var i, rects = [svg.querySelector(".bs-back"), part("bs-bar").firstElementChild];
		if (isPage && window.innerWidth) {
			width = Math.max(640, window.innerWidth -
				(height > window.innerHeight ? 16 : 0));
			svg.setAttribute("width", width);
			svg.setAttribute("viewBox", "0 0 " + width + " " + height);
		}
		for (i = 0; i < rects.length; i++)
			rects[i].setAttribute("width", width);
		part("bs-title").setAttribute("x", width / 2);
		part("bs-search").setAttribute("x", width - data.pad - 190);
		caseButton.setAttribute("x", width - data.pad - 190 - 15 * data.charWidth);
		resetButton.setAttribute("x", data.pad);
		found.setAttribute("x", width - data.pad);
		render();
	}

	// The bar stays in sight above tall graphs.
	function follow() {
		part("bs-bar").setAttribute("transform", "translate(0," + (window.scrollY || 0) + ")");
	}

	function frameAt(event) {
		return event.target.bstackFrame;
	}

	function onOver(event) {
		var i = frameAt(event);
		if (i === undefined)
			return;
		details(describe(i));
		if (!event.target.firstChild)
			event.target.appendChild(make("title", {}, describe(i)));
	}

	function onKey(event) {
		if (!isPage && !svg.matches(":hover") && document.activeElement !== input)
			return;
		if ((event.key === "f" && (event.ctrlKey || event.metaKey)) || event.key === "F3") {
			if (document.activeElement === input)
				return;
			event.preventDefault();
			input.focus();
			input.select();
		} else if (event.key === "Escape") {
			if (input.value)
				setSearch("");
			else
				zoom(0);
		}
	}

	function listen() {
		live.addEventListener("click", function (event) {
			if (frameAt(event) !== undefined)
				zoom(frameAt(event));
		});
		live.addEventListener("mouseover", onOver);
		live.addEventListener("mouseleave", idle);
		window.addEventListener("keydown", onKey);
		if (!isPage)
			return;
		window.addEventListener("resize", resize);
		window.addEventListener("scroll", follow);
	}

	unpack();
	live = part("bs-frames");
	live.setAttribute("class", "bs-frames bs-live");
	addControls();
	resize();
	idle();
	listen();
	svg.bstackFlame = {
		zoom: zoom,
		search: setSearch,
		zoomed: function () {
			return zoomed;
		},
		count: count,
		describe: describe
	};
}
