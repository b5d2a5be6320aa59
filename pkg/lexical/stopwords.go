package lexical

// latinStops returns the stop words of each language, spelt in lower case.
// They are function words only: a noun is never a stop word.
func latinStops() [languageCount]string {
	return [languageCount]string{
		English: `a about above after again against all am an and any are as at be because been before being below between both
but by can cannot could d did do does doing don down during each few for from further had has have having he her here hers herself him
himself his how i if in into is it its itself just ll m me more most my myself no nor not now o of off on once only or other our ours
ourselves out over own re s same she should so some such t than that the their theirs them themselves then there these they this those
through to too under until up ve very was we were what when where which while who whom why will with would you your yours yourself yourselves`,
		German: `aber alle allein allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei beim bin bis bist da
damit dann das dass daß dein deine dem den denn der des dessen deren dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine
einem einen einer eines er es etwas euch euer für gegen gewesen hab habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre
ihrem ihren ihrer ihres im in ins ist jede jedem jeden jeder jedes jene jenem jenen jener jenes jetzt kann kein keine keinem keinen
keiner können könnte man manche mein meine mich mir mit muss musste nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner
seines selbst sich sie sind so solche soll sollte sondern sonst sowie über um und uns unser unter viel vom von vor während wann war waren warum was weil weshalb wieso bezüglich beim wem wen wobei wodurch womit worüber worin
welche welchem welchen welcher welches wenn wer werde werden wessen wie wieder wo wohin wollen worden wurde wurden würde würden zu zum zur zwischen`,
		Spanish: `a al algo algunas algunos ante antes aquel aquella aquellos así aun aunque cada como con contra cual cuál cuáles cuales cualquier cuando
cuándo cuántas cuántos cuánto cuánta de del desde donde dónde dos durante e el él ella ellas ellos en entre era eran es esa esas ese eso esos esta está están estaba estaban
estado estas este esto estos fue fueron ha había habían han hasta hay la las le les lo los más me mi mientras muy nada ni no nos nosotros
o otra otras otro otros para pero poco por porque pues que qué quién quien quienes quiénes se sea según ser si sí sido sin sobre son su sus también
tan tanto te tenía tiene tienen todo todos toda todas tras tu un una unas uno unos y ya yo cómo`,
		French: `à ai alors après as au aucun aussi autre autres aux avaient avait avant avec avoir c ce ceci cela celle celles celui ces cet cette ceux
chaque chez comme comment d dans de depuis des deux dont donc du elle elles en encore entre es est et étaient était étant été être eu eux fait
il ils j je jusqu l la là laquelle le lequel les lesquelles lesquels leur leurs lors lui m ma mais me même mes moi moins mon n ne ni nos notre nous on ont ou où
par parce pas pendant peu peut plus plusieurs pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa sans se selon sera ses si
son sont sous sur t ta tandis te tous tout toute toutes très tu un une vers vos votre vous y`,
		Portuguese: `a à ao aos aquela aquele aqueles as às até com como da das de dela dele deles depois do dos e é ela elas ele eles em entre era eram
essa esse esta está estão este eu foi foram há isso isto já lhe mais mas me mesmo meu minha muito na não nas nem no nos nós num numa o os ou
para pela pelas pelo pelos por qual quais quando quem que se sem ser seu seus só sua suas também tem têm tinha um uma você quanto onde porque são`,
		Italian: `a ad agli ai al alla alle allo anche c che chi ci come con contro cui da dagli dai dal dalla dalle dallo degli dei del dell della
delle dello di dopo dove due e è ed era erano fino fra gli ha hanno i il in io la le lei lo loro lui ma mentre mi mio molto ne negli nei nel nell nella nelle
nello noi non o ogni per perché più poi prima qual quale quali quando quanti quanto quella quelle quelli quello questa queste questi questo se
sempre senza si sia sono stata stati stato su sua sue sugli sui sul sulla sulle suo suoi tra tutti tutto un una uno voi essere dall all sull quindi`,
		Dutch: `aan af al als bij dan dat de der deze die dit doch doen door dus een en er ge geen geweest haar had heb hebben heeft hem het hier hij
hoe hun ik in is ja je kan kon kunnen maar me meer men met mij mijn moet na naar niet niets nog nu of om omdat ons ook op over reeds te tegen toch
toen tot u uit uw van veel voor want waren was wat welke wel werd werden wie wiens wij wil wordt worden zal ze zelf zich zij zijn zo zonder zou waar wanneer waarom tussen tijdens`,
		Swedish: `alla allt att av blev bli blir de dem den denna deras dess dessa det detta dig din dina du där då efter ej eller en er ett från för
ha hade han hans har henne hennes hon honom hur här i icke ingen inom inte jag ju kan kunde man med mellan men mig min mot mycket ni nu när någon
något några och om oss på samma sedan sig sin sina sitt själv skulle som så sådan till under upp ut utan vad var vara varför vari vart vem vi vid vilka vilken vilket är år även`,
		Norwegian: `alle at av bare ble blei bli blir blitt både da de deg dei deim dem den denne der dere deres det dette di din disse du eg ein eit ei
eller en er et ett etter for fordi fra før ha hadde han hans har hennar henne hennes her hos hun hva hvem hver hvilke hvilken hvis hvor hvordan hvorfor i ikke ikkje
ingen inn jeg kan kom kun kunne man mange med meg mellom men mens mer min mot mye når noe noen nok nå og også om opp oss over på samme seg sin
sine sitt sjøl skal skulle slik som så til ut uten var vart ved vil ville være vært vår af blev ej efter fra havde hvad hvornår ikke jeg meget mig når nogle nogen op os sig skal ud under været været`,
		Hungarian: `a abban ahhoz ahogy ahol aki akik akkor alatt által általában amely amelyek amelyekben amelyet amelynek ami amikor amit annak arra
az azok azon azonban azt azután azzal be belül benne csak de e ebben egy egyéb egyes egyetlen egyik egyre ehhez ekkor el ellen első elő először
én éppen erre és ez ezek ezen ezért ezt ezzel fel felé ha hanem hiszen hogy hogyan így illetve ill ilyen ilyenkor is ismét itt jó kell kellett
keresztül ki kívül között közül legalább lehet lehetett lenne lenni lesz lett maga majd már más meg még mellett mely melyek mert mi mikor
milyen minden mindig mint mintha mivel mondta most nagy nagyobb nagyon ne nem néha nincs ő ők össze ott pedig persze rá s saját sem
semmi sok sokat szerint számára talán tehát teljes több tovább újabb után utána úgy vagy vagyis valaki valami való vannak van volt voltak vissza vele viszont volna`,
		Vietnamese: `bị bởi cả các cái cần càng chỉ chiếc cho chứ chưa chuyện có cứ của cùng cũng đã đang đây để đến đều điều do đó được gì
hơn khi không là lại lên lúc mà mỗi một này nên nếu ngay nhiều như nhưng những nơi nữa phải qua ra rằng rất rồi sau sẽ so sự tại theo thì trên trước từ từng
và vẫn vào vậy vì việc với vừa ai bao nào đâu sao thế trong`,
	}
}

const russianStops = `и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от меня еще ещё нет о
из ему теперь когда даже ну ли если уже или ни быть был него до вас нибудь опять уж вам ведь там потом себя ничего ей может они тут где есть надо ней
для мы тебя их чем была сам чтоб без будто чего раз тоже себе под будет ж тогда кто этот того потому этого какой какая какие каких каком какого каким какое какую
каково совсем ним здесь этом один почти мой тем чтобы нее неё сейчас были куда зачем всех никогда можно при об другой хоть после над больше тот через эти нас про всего них
которая который которые которых которой которого котором которую много разве три эту эта моя впрочем хорошо свою этой перед иногда лучше чуть том нельзя такой им более всегда
конечно всю между это сколько также была является`

const greekStops = `ο η το οι τα του της των τον την τη και κι κ είμαι είσαι είναι είμαστε είστε στο στον στη στην στα στους στις στου μα αλλά από για
προς με σε ως παρά αντί κατά μετά θα να δε δεν μη μην επί ενώ εάν αν τότε που πού πως πώς ποιος ποια ποιο ποιοι ποιες ποιων ποιους ποιόν ποιον ποιαν αυτός αυτή αυτό αυτοί
αυτών αυτούς αυτές αυτά εκείνος εκείνη εκείνο εκείνοι εκείνες εκείνα εκείνων εκείνους όπως όμως ίσως όσο ότι τι τους τις ένα ένας μια μία έναν
μιας ενός ήταν έχει έχουν είχε είχαν οποία οποίο οποίος οποίοι οποίες οποίων οποίου οποίας υπό έως ή είτε ούτε μέσω πριν όταν επίσης πιο πολύ πόσο πόσα πόσες πόσοι πότε τόσο όλα όλες όλοι αυτήν αυτόν αυτού αυτής μπορεί`

const arabicStops = `في من على إلى الى عن مع هذا هذه ذلك تلك هو هي هم هن أنا نحن أنت كان كانت كانوا يكون تكون ليس ليست قد لقد لا لم لن ما ماذا متى أين اين كيف لماذا
كم هل من أن ان إن أو او و ثم بل لكن ولكن حتى إذا اذا إذ كل بعض غير بين بعد قبل عند عندما منذ خلال حول ضد دون أي اي أية التي الذي الذين اللذين اللتين اللاتي
كما كذلك أيضا أيضًا ايضا حيث بينما لدى له لها لهم به بها بهم فيه فيها فيهم منه منها منهم عليه عليها عليهم إليه إليها عنه عنها وهو وهي وقد وكان وكانت ومن وفي وعلى
فقد فإن وأن بأن لأن مما ممن يتم تم هنا هناك سوف نحو أما إلا الا ذات أحد بسبب`
