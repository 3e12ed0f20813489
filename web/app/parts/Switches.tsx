import { locale, useLocale, useText, type Locale } from "../i18n";
import { setTheme, useTheme, type Theme } from "../theme";
import { MoonIcon, ScreenIcon, SunIcon } from "./icons";

const LANGUAGES: readonly [Locale, string][] = [
  ["ko", "한국어"],
  ["en", "English"],
];
const THEMES: readonly [Theme, () => React.ReactElement][] = [
  ["system", ScreenIcon],
  ["light", SunIcon],
  ["dark", MoonIcon],
];

export function LanguageSwitch() {
  const t = useText();
  const current = useLocale();
  return (
    <div className="choice" role="group" aria-label={t("app.language")}>
      {LANGUAGES.map(([code, name]) => (
        <button key={code} type="button" lang={code} aria-pressed={code === current} onClick={() => locale.set(code)}>
          {name}
        </button>
      ))}
    </div>
  );
}

export function ThemeSwitch() {
  const t = useText();
  const current = useTheme();
  return (
    <div className="choice choice-theme" role="group" aria-label={t("app.theme")}>
      {THEMES.map(([theme, Icon]) => (
        <button
          key={theme}
          type="button"
          aria-pressed={theme === current}
          aria-label={t(`theme.${theme}`)}
          title={t(`theme.${theme}`)}
          onClick={() => setTheme(theme)}
        >
          <Icon />
        </button>
      ))}
    </div>
  );
}
