// The style sheet switches the language; this says so to who hears the page, and picks the browser's language.
const chinese = document.getElementById("chinese");
const english = document.getElementById("english");
function tell() {
  document.documentElement.lang = chinese.checked ? "zh-Hans" : "en";
}
chinese.checked = (navigator.language || "").toLowerCase().startsWith("zh");
english.checked = !chinese.checked;
chinese.addEventListener("change", tell);
english.addEventListener("change", tell);
tell();
