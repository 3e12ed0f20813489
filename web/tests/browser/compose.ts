/** Makes the workflows that several files use, before files that run at the same time could each make their own. */

import { asking, blogWorkflow, bulky, failing, forty, longNamed, Platform, slow, switchable, talkative, thousand } from "./platform";

export default async function compose(): Promise<void> {
  const platform = await Platform.logIn();
  for (const make of [asking, blogWorkflow, bulky, failing, forty, longNamed, slow, switchable, talkative, thousand]) await make(platform);
}
